"""Reading AlpacaEval outputs, from files or memory: every row is used, refused or counted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from selfj_eval.errors import DataError
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.jobs.results import Result
from selfj_eval.records.formats import Rows
from selfj_eval.records.hub import fetched
from selfj_eval.records.inputs import rows_of
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.reading import iter_rows, read_rows
from selfj_eval.records.record import Record, question_of
from selfj_eval.registry.alpaca_pack import EvaluationSet, ModelAnswers

if TYPE_CHECKING:
    from selfj_eval.records.inputs import InMemory

    Outputs: TypeAlias = str | Path | InMemory | Result
    """One model's outputs: a file, rows, records, a pandas table, or the result of a verb."""

_READ = frozenset({"instruction", *QUESTION_FIELDS, "output", "generator", "dataset", "reference"})
_OF_RECORDS = {"response": "output", "model": "generator", "category": "dataset"}


def each_of(outputs: Any) -> list[Outputs]:
    """The outputs of one model or of several, model by model.

    Raises:
        DataError: If there are none.
    """
    several = isinstance(outputs, list | tuple)
    if several and outputs and not isinstance(outputs[0], Mapping | Record):
        return [fetched(each) for each in outputs]
    if several and not outputs:
        raise DataError("there are no outputs; give those of one model at least.")
    return [fetched(outputs)]


def path_of(outputs: Outputs) -> Path | None:
    """The file that outputs are in; None where they are in memory."""
    if isinstance(outputs, Result):
        outputs = getattr(outputs, "output", None) or outputs
    return Path(outputs) if isinstance(outputs, str | Path) else None


def read_outputs(
    outputs: Outputs, instructions: EvaluationSet, *, name: str | None = None
) -> ModelAnswers:
    """A model's outputs, matched to an evaluation set by the exact text of the instruction.

    Args:
        outputs: Rows with ``instruction``, ``output`` and, for the model's name, ``generator``.
        instructions: The evaluation set.
        name: The model's name; by default the file's ``generator``, else the file's own name.

    Returns:
        The answers; instructions without one and rows to no instruction are counted in them.

    Raises:
        DataError: If a row is damaged, an instruction has two rows, there are several
            generators, or no row belongs to the evaluation set.
    """
    path, rows = path_of(outputs), _rows(outputs)
    _check_columns(rows, path)
    position = {text: k for k, text in enumerate(instructions.instructions)}
    found: list[str | None] = [None] * len(instructions)
    unknown = 0
    for place, row in rows.values():
        # An evaluation set may hold the instruction alone, or with what belongs to it.
        at = position.get(row["instruction"], position.get(row["alone"]))
        if at is not None and found[at] is not None:
            message = f"{row['alone'][:60]!r} has an output in another row already."
            raise DataError(message, path=path, place=place, field="instruction")
        if at is None:
            unknown += 1
            continue
        found[at] = _output(row, path, place)
    if unknown == len(rows):
        place, row = next(iter(rows.values()))
        raise DataError(
            f"{row['instruction'][:60]!r} is none of the {len(instructions)} instructions of the "
            "baseline, and no other row has one of them either. Are these outputs for another "
            "evaluation set? Give the outputs of its baseline as `baseline`.",
            path=path,
            place=place,
            field="instruction",
        )
    return ModelAnswers(_valid(name or _generator(rows, path), path), tuple(found), unknown)


def read_baseline(outputs: Outputs) -> tuple[EvaluationSet, ModelAnswers]:
    """A baseline's outputs, which make up an evaluation set of their own."""
    path, rows = path_of(outputs), _rows(outputs)
    _check_columns(rows, path)
    given = (row.get("dataset") for _, row in rows.values())
    datasets = tuple(name if isinstance(name, str) else None for name in given)
    found = tuple(_output(row, path, place) for place, row in rows.values())
    return (
        EvaluationSet(tuple(rows), datasets),
        ModelAnswers(_valid(_generator(rows, path), path), found),
    )


def read_references(path: str | Path) -> dict[str, str]:
    """References by instruction, from rows with ``instruction`` and ``reference``."""
    path = Path(path)
    found = {}
    for text, (place, row) in _rows(path).items():
        if not isinstance(row.get("reference"), str) or not row["reference"].strip():
            message = "expected the text of a reference answer."
            raise DataError(message, path=path, place=place, field="reference")
        found[text] = row["reference"]
    return found


def check_gamed(path: Path) -> None:
    """Refuse a file that AlpacaEval's length control could not use as its ``df_gamed.csv``."""
    numbers = ("preference", "index", "std_delta_len", "instruction_difficulty")
    rows = read_rows(path)
    if not rows:
        raise DataError("is empty; expected AlpacaEval's df_gamed.csv.", path=path)
    for place, row in rows:
        for name in ("model", "not_gamed_baseline", *numbers):
            try:
                if not (math.isfinite(float(row[name])) if name in numbers else row[name]):
                    raise ValueError
            except (KeyError, TypeError, ValueError, OverflowError):
                message = "missing or no number; expected AlpacaEval's df_gamed.csv."
                raise DataError(message, path=path, place=place, field=name) from None


def _given(outputs: Outputs) -> Rows:
    path = path_of(outputs)
    if path is not None:
        yield from iter_rows(path, fields=_READ)
        return
    values = outputs.rows() if isinstance(outputs, Result) else outputs
    for place, row in rows_of(values):
        own = {theirs: row[ours] for ours, theirs in _OF_RECORDS.items() if ours in row}
        yield place, own | dict(row)


def _rows(outputs: Outputs) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The rows by instruction."""
    path = path_of(outputs)
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for place, given in _given(outputs):
        text = question_of(given, path=path or "", place=place)
        row = {**given, "instruction": text, "alone": str(given["instruction"])}
        if text in found:
            message = (
                f"{text[:60]!r} has an output in {found[text][0]} already. One answer per "
                "instruction is judged; choose one (`selfj best-of` does)."
            )
            raise DataError(message, path=path, place=place, field="instruction")
        found[text] = (place, row)
    if not found:
        raise DataError("holds no outputs.", path=path)
    return found


def _check_columns(rows: Mapping[str, tuple[str, Mapping[str, Any]]], path: Path | None) -> None:
    """Refuse rows of which none has an answer."""
    if not any("output" in row for _, row in rows.values()):
        have = ", ".join(map(str, next(iter(rows.values()))[1]))
        message = f"no row has an answer; the fields here are: {have}."
        raise DataError(message, path=path, field="output")


def _output(row: Mapping[str, Any], path: Path | None, place: str) -> str:
    value = row.get("output")
    if not isinstance(value, str):
        have = ", ".join(map(str, row))
        kind = "null" if value is None else type(value).__name__
        message = f"expected the answer's text, got {kind}; the fields here are: {have}."
        raise DataError(message, path=path, place=place, field="output")
    if any("\ud800" <= c <= "\udfff" for c in value):
        message = "holds half of a surrogate pair, which is not valid Unicode text."
        raise DataError(message, path=path, place=place, field="output")
    return value


def _generator(rows: Mapping[str, tuple[str, Mapping[str, Any]]], path: Path | None) -> str:
    """The one name in the rows; AlpacaEval itself would call a mixture "Current model"."""
    given = [row.get("generator") for _, row in rows.values()]
    names = {str(name) for name in given if name and not is_missing(name)}
    if len(names) > 1:
        shown = ", ".join(sorted(names)[:3])
        message = f"holds outputs of {len(names)} models ({shown}, ...); give one file per model."
        raise DataError(message, path=path, field="generator")
    if not names and path is None:
        raise DataError("the model has no name; give `name`, or a field `generator`.")
    return names.pop() if names else (path or Path()).stem


def _valid(name: str, path: Path | None) -> str:
    if any("\ud800" <= c <= "\udfff" for c in name):
        message = "holds half of a surrogate pair, which is not valid Unicode text."
        raise DataError(message, path=path, field="generator")
    return name
