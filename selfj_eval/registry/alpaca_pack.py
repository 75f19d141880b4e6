"""AlpacaEval's instructions, baselines, stored outputs, preferences and leaderboards.

All come from the pack ``alpaca_eval`` of the data folder (docs/data.md); nothing is fetched.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, brief
from selfj_eval.files.documents import refuse_special
from selfj_eval.files.formulas import unguarded
from selfj_eval.records.record import is_number
from selfj_eval.registry.folder import data_file, data_folder

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
_COLUMNS = frozenset(
    {"win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total"}
    | {"discrete_win_rate", "avg_length", "length_controlled_winrate", "lc_standard_error"}
    | {"mean_score", "baseline_mean_score", "n_unscored", "n_missing", "n_empty", "n_unknown"}
    | {"n_trimmed"}
)
"""The columns of a leaderboard that hold numbers, AlpacaEval's and ours."""
_TYPES = {"instruction_id": ("int", "uint"), "preference": ("double", "float", "null")}
_TYPES |= dict.fromkeys(("output_matches", "baseline_matches"), ("bool",))
"""The columns of the pack's files that hold no text: how pyarrow calls their types begins so."""


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
class ModelAnswers:
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


def official_baseline(version: str) -> ModelAnswers:
    """The baseline of ``v1`` or ``v2``: what a model has to win against."""
    name = BASELINES[version]
    rows = _parquet("instructions.parquet", [f"output_{name}"])
    return ModelAnswers(name, tuple(row[f"output_{name}"] for row in rows))


def stored_outputs(models: set[str] | None = None) -> list[ModelAnswers]:
    """The stored outputs of all models, or of some, by name."""
    import pyarrow.compute as pc

    folder = data_file(PACK, "model_outputs")
    size = len(evaluation_set())
    found: dict[str, list[str | None]] = {}
    for file in sorted(folder.glob("*.parquet")):
        table = _table(file, ["instruction_id", "model", "output"])
        if models is not None:
            names = pc.cast(table["model"], "string")
            table = table.filter(pc.is_in(names, value_set=_array(sorted(models))))
        columns = [table[name].to_pylist() for name in ("instruction_id", "model", "output")]
        for position, model, output in zip(*columns, strict=True):
            found.setdefault(model, [None] * size)[_position(position, size, file)] = output
    if not found or (models and models - set(found)):
        missing = ", ".join(sorted((models or set()) - set(found))) or "all"
        raise DataError(f"no stored outputs of: {missing}.", path=folder)
    return [ModelAnswers(model, tuple(found[model])) for model in sorted(found)]


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
    size, path = len(evaluation_set()), data_file(PACK, "preferences.parquet")
    for row in _parquet("preferences.parquet", columns + matches):
        if row["annotator"] == annotator and not (matching and not all(row[m] for m in matches)):
            value = row["preference"]
            value = None if value is None or value != value else float(value)
            found.setdefault(row["model"], {})[_position(row["instruction_id"], size, path)] = value
    return found


def leaderboard(name: str) -> dict[str, Mapping[str, float]]:
    """An official leaderboard, ``v1``, ``v2`` or ``v2_release`` (the first 95 models of V2).

    Returns:
        Model to its numbers by column; a column that is empty for a model is left out.
    """
    path = data_file(PACK, f"leaderboards/{_LEADERBOARDS[name]}")
    table: dict[str, Mapping[str, float]] = {
        model: {k: float(v) for k, v in line.items() if k in _COLUMNS}
        for model, line in leaderboard_lines(path).items()
    }
    if name == "v2_release" and "gpt4_turbo" in table:  # the baseline's name then
        table["gpt4_1106_preview"] = table.pop("gpt4_turbo")
    return table


def leaderboard_lines(path: Path) -> dict[str, dict[str, str]]:
    """The lines of a leaderboard in AlpacaEval's layout, ours among them.

    Returns:
        Model to its cells by column, without the empty ones.

    Raises:
        DataError: If it is no leaderboard, or a cell that must be a number is not.
    """
    try:
        refuse_special(path)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.reader(stream, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"is not a readable leaderboard: {brief(error)}.", path=path) from error
    columns = lines[0][1:] if lines else []
    if "win_rate" not in columns:
        raise DataError("is not a leaderboard: it has no column 'win_rate'.", path=path)
    table: dict[str, dict[str, str]] = {}
    for number, (cell, *cells) in enumerate((line for line in lines[1:] if line), 2):
        model = unguarded(cell)
        if len(cells) != len(columns) or model in table:
            wrong = "stands there twice" if model in table else "has another number of cells"
            message = f"the model {model!r:.60} {wrong}; repair the file."
            raise DataError(message, path=path, place=f"row {number}")
        table[model] = {k: v for k, v in zip(columns, cells, strict=True) if v}
        for name, cell in table[model].items():
            if name in _COLUMNS and not is_number(_number(cell)):
                message = f"expected a number or nothing, got {cell!r:.60}; repair the file."
                raise DataError(message, path=path, place=f"row {number}", field=name)
    return table


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def gamed_baselines() -> Path:
    """The file with which AlpacaEval's length-controlled win rate is regularised."""
    return data_file(PACK, "length_control/df_gamed_equivalent.csv")


def _parquet(name: str, columns: list[str]) -> list[dict[str, Any]]:
    table = _table(data_file(PACK, name), columns)
    values = [table[column].to_pylist() for column in columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _table(path: Path, columns: list[str]) -> Any:
    """Columns of one of the pack's files, of the types that they have there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=columns)
        table.validate(full=True)
        for name in columns:
            kind = table.schema.field(name).type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            expected = _TYPES.get(name, ("string", "large_string"))
            if not str(kind).startswith(expected):
                raise ValueError(f"the column {name!r} holds {kind}")
        return table
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DataError(f"is not the pack's file: {brief(error)}.", path=path) from error


def _position(value: int | None, size: int, path: Path) -> int:
    if value is None or not 0 <= value < size:
        message = f"is not the pack's file: there is no instruction {value}."
        raise DataError(message, path=path, field="instruction_id")
    return value


def _array(values: list[str]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.string())
