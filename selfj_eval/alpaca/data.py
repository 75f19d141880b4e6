"""AlpacaEval's instructions, baselines, stored outputs, preferences and leaderboards.

All come from the pack ``alpaca_eval`` of the data folder (docs/data.md); nothing is fetched.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfj_eval.data_folder import data_file, data_folder
from selfj_eval.errors import DataError, brief

PACK = "alpaca_eval"
BASELINES = {"v1": "text_davinci_003", "v2": "gpt4_1106_preview"}
"""The official baseline of AlpacaEval 1 and of AlpacaEval 2."""
ANNOTATORS = {"v1": "alpaca_eval_gpt4", "v2": "weighted_alpaca_eval_gpt4_turbo"}
"""The official GPT-4 annotator of each version."""
_LEADERBOARDS = {
    "v1": "v1_alpaca_eval_gpt4_leaderboard.csv",
    "v2": "v2_weighted_alpaca_eval_gpt4_turbo_leaderboard.csv",
    "v2_release": "v2_release_2024-01-10_95_models_leaderboard.csv",
}


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Instructions in the official order, which the length-controlled win rate relies on.

    Attributes:
        instructions: The texts, no two alike.
        datasets: Where each comes from, or None.
    """

    instructions: tuple[str, ...]
    datasets: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.instructions)


@dataclass(frozen=True, slots=True)
class Answers:
    """One model's answers to an evaluation set.

    Attributes:
        model: The model's name.
        outputs: One an instruction, in the set's order; None where the model has none.
        unknown: How many outputs of the file are to no instruction of the set.
    """

    model: str
    outputs: tuple[str | None, ...]
    unknown: int = 0

    @property
    def missing(self) -> int:
        """How many instructions have no output."""
        return sum(output is None for output in self.outputs)

    @property
    def empty(self) -> int:
        """How many outputs are blank. They are judged: an empty answer is a bad one."""
        return sum(output is not None and not output.strip() for output in self.outputs)

    @property
    def average_length(self) -> int:
        """Mean number of characters, without its fraction, as AlpacaEval gives it."""
        lengths = [len(output) for output in self.outputs if output is not None]
        return sum(lengths) // len(lengths) if lengths else 0


def is_here() -> bool:
    """Whether the data folder has the pack, or a part of it."""
    return (data_folder() / PACK).is_dir()


def evaluation_set() -> EvaluationSet:
    """AlpacaEval's 805 instructions.

    Raises:
        DataError: If the pack is missing or damaged, as for all functions here.
    """
    rows = _parquet("instructions.parquet", ["instruction", "dataset"])
    texts = tuple(row["instruction"] for row in rows)
    return EvaluationSet(texts, tuple(row["dataset"] for row in rows))


def official_baseline(version: str) -> Answers:
    """The baseline of ``v1`` or ``v2``: what a model has to win against."""
    name = BASELINES[version]
    rows = _parquet("instructions.parquet", [f"output_{name}"])
    return Answers(name, tuple(row[f"output_{name}"] for row in rows))


def stored_outputs(models: set[str] | None = None) -> list[Answers]:
    """The stored outputs of all models, or of some, by name."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    folder = data_file(PACK, "model_outputs")
    size = len(evaluation_set())
    found: dict[str, list[str | None]] = {}
    for file in sorted(folder.glob("*.parquet")):
        try:
            table = pq.read_table(file, columns=["instruction_id", "model", "output"])
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise DataError(f"is not the pack's file: {brief(error)}.", path=file) from error
        if models is not None:
            names = pc.cast(table["model"], "string")
            table = table.filter(pc.is_in(names, value_set=_array(sorted(models))))
        columns = [table[name].to_pylist() for name in ("instruction_id", "model", "output")]
        for position, model, output in zip(*columns, strict=True):
            found.setdefault(model, [None] * size)[position] = output
    if not found or (models and models - set(found)):
        missing = ", ".join(sorted((models or set()) - set(found))) or "all"
        raise DataError(f"no stored outputs of: {missing}.", path=folder)
    return [Answers(model, tuple(found[model])) for model in sorted(found)]


def stored_preferences(
    annotator: str, *, matching: bool = False
) -> dict[str, dict[int, float | None]]:
    """An annotator's stored preferences: model, position of the instruction, preference.

    1 is for the baseline, 2 for the model, 1.5 a tie, None an answer of the annotator that could
    not be read. All of them, as the official numbers were made; with ``matching`` only those about
    the stored output and the official baseline.
    """
    found: dict[str, dict[int, float | None]] = {}
    columns = ["model", "instruction_id", "annotator", "preference"]
    matches = ["output_matches", "baseline_matches"]
    for row in _parquet("preferences.parquet", columns + matches):
        if row["annotator"] == annotator and not (matching and not all(row[m] for m in matches)):
            value = row["preference"]
            value = None if value is None or value != value else float(value)
            found.setdefault(row["model"], {})[row["instruction_id"]] = value
    return found


def leaderboard(name: str) -> dict[str, Mapping[str, float]]:
    """An official leaderboard, ``v1``, ``v2`` or ``v2_release`` (the first 95 models of V2).

    Returns:
        Model to its numbers by column; a column that is empty for a model is left out.
    """
    path = data_file(PACK, f"leaderboards/{_LEADERBOARDS[name]}")
    table: dict[str, Mapping[str, float]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if not {"", "win_rate"} <= set(reader.fieldnames or ()):
            raise DataError("is no leaderboard: it has no column 'win_rate'.", path=path)
        for row in reader:
            model = row.pop("")
            table[model] = {k: float(v) for k, v in row.items() if v and k != "mode"}
    if name == "v2_release":  # the baseline's name then
        table["gpt4_1106_preview"] = table.pop("gpt4_turbo")
    return table


def gamed_baselines() -> Path:
    """The file with which AlpacaEval's length-controlled win rate is regularised."""
    return data_file(PACK, "length_control/df_gamed_equivalent.csv")


def _parquet(name: str, columns: list[str]) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = data_file(PACK, name)
    try:
        table = pq.read_table(path, columns=columns)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DataError(f"is not the pack's file: {brief(error)}.", path=path) from error
    values = [table[column].to_pylist() for column in columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _array(values: list[str]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.string())
