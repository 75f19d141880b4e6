"""AlpacaEval: instructions, stored outputs, stored preferences and leaderboards.

Instructions are known by their position in the official order, which is the order of the stored
outputs of AlpacaEval 2's baseline. Each converter is given those outputs first.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from selfj_eval.registry.converters.fields import field, listed
from selfj_eval.registry.converters.finishing import SetRow
from selfj_eval.registry.upstream import UpstreamFile

V1_BASELINE, V2_BASELINE = "text_davinci_003", "gpt4_1106_preview"
_OUTPUTS = "/model_outputs.json"


def instructions(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """The evaluation set, with both baselines' outputs.

    AlpacaEval 1's baseline is what its annotators were shown; upstream's stored outputs of a
    model of the same name are others.

    Args:
        files: The stored outputs of AlpacaEval 2's baseline, and any model's annotations by an
            annotator of AlpacaEval 1.
    """
    outputs, annotations = files
    first = texts(annotations, "output_1")
    for position, (place, row) in enumerate(listed(outputs)):
        instruction = field(outputs, place, row, "instruction", str)
        if instruction not in first:
            raise annotations.error(f"has no row for the instruction at {place} of {outputs}")
        yield {
            "instruction_id": position,
            "dataset": field(outputs, place, row, "dataset", str),
            "instruction": instruction,
            f"output_{V1_BASELINE}": first[instruction],
            f"output_{V2_BASELINE}": field(outputs, place, row, "output", str),
        }


def model_outputs(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """What models answered, one file a model, one file in memory.

    Args:
        files: Stored outputs; those of AlpacaEval 2's baseline first.
    """
    order = positions(files[0])
    for file in files:
        for place, row in listed(file):
            yield {
                "instruction_id": _position(file, place, row, order),
                "model": _model(file),
                "output": field(file, place, row, "output", str),
            }


def preferences(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """What annotators preferred: 1 the baseline, 2 the model, 1.5 for a tie, None if unknown.

    Also whether they were shown the stored output and the baseline's official one.

    Args:
        files: The stored outputs of a model, then its annotations; the next model's outputs, and
            so on. AlpacaEval 2's baseline is the first model, and AlpacaEval 1's annotations of it
            are its first.
    """
    order = positions(files[0])
    baselines = {V2_BASELINE: texts(files[0], "output"), V1_BASELINE: texts(files[1], "output_1")}
    model, outputs = "", dict[str, str]()
    for file in files:
        if file.path.endswith(_OUTPUTS):
            model, outputs = _model(file), texts(file, "output")
            continue
        if _model(file) != model:
            raise file.error(f"stands after the outputs of {model or 'no model'}")
        for place, row in listed(file):
            position = _position(file, place, row, order)
            baseline = field(file, place, row, "generator_1", str)
            if baseline not in baselines:
                raise file.error(f"unknown baseline {baseline!r}", place, "generator_1")
            shown = [field(file, place, row, name, str) for name in ("output_1", "output_2")]
            yield {
                "model": model,
                "instruction_id": position,
                "annotator": field(file, place, row, "annotator", str),
                "baseline": baseline,
                "preference": preference(file, place, row),
                "output_matches": shown[1] == outputs.get(row["instruction"]),
                "baseline_matches": shown[0] == baselines[baseline].get(row["instruction"]),
            }


def leaderboard(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """A leaderboard as it is: its cells are not read as numbers, so that none changes.

    Args:
        files: One CSV file, whose first column is the model and has no name.
    """
    (file,) = files
    yield from table(file, "win_rate")


def table(file: UpstreamFile, *columns: str) -> Iterator[dict[str, str]]:
    """Rows of a CSV file whose first column has no name; ``columns`` are those it has to have."""
    reader = csv.DictReader(io.StringIO(file.text()))
    for column in ("", *columns):
        if column not in (reader.fieldnames or ()):
            raise file.error(f"has no column {column!r}", "line 1")
    for row in reader:
        if None in row or None in row.values():
            raise file.error("has more or fewer cells than the header", f"line {reader.line_num}")
        yield row


def texts(file: UpstreamFile, name: str) -> dict[str, str]:
    """Instruction to a field of its row."""
    return {
        field(file, place, row, "instruction", str): field(file, place, row, name, str)
        for place, row in listed(file)
    }


def positions(file: UpstreamFile) -> dict[str, int]:
    """Instruction to its position in a file, which has to have each once."""
    found: dict[str, int] = {}
    for place, row in listed(file):
        instruction = field(file, place, row, "instruction", str)
        if instruction in found:
            raise file.error("a second row of this instruction", place, "instruction")
        found[instruction] = len(found)
    return found


def preference(file: UpstreamFile, place: str, row: SetRow) -> float | None:
    """An annotation's preference, 1 to 2; None where the annotator's answer could not be read."""
    value = field(file, place, row, "preference", (int, float, type(None)))
    if value is None:
        return None
    if value == 0:  # what a tie was called once
        return 1.5
    if not 1 <= value <= 2:
        raise file.error(f"expected 1 to 2, found {value}", place, "preference")
    return float(value)


def _position(file: UpstreamFile, place: str, row: SetRow, order: dict[str, int]) -> int:
    instruction = field(file, place, row, "instruction", str)
    if instruction not in order:
        raise file.error("not an instruction of the evaluation set", place, "instruction")
    return order[instruction]


def _model(file: UpstreamFile) -> str:
    """The folder below ``results`` is the name that the leaderboards have, too."""
    return file.path.split("/")[1]
