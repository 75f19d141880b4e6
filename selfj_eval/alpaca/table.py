"""The paper's AlpacaEval table: published numbers beside what is obtained here, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import selfj_eval
from selfj_eval.alpaca import data
from selfj_eval.alpaca.evaluation import add_length_control, read_leaderboard, row_of
from selfj_eval.alpaca.upstream import Annotation
from selfj_eval.documents import read_json, read_yaml
from selfj_eval.errors import DataError, StoreError, brief
from selfj_eval.records import is_number

CELLS = ("v1", "v2", "v2_lc")
"""AlpacaEval 1, AlpacaEval 2, AlpacaEval 2 length-controlled; win rates in percent."""
_NUMBER = {"v1": "win_rate", "v2": "win_rate", "v2_lc": "length_controlled_winrate"}
_RESULT = ("annotator", "endpoint", "model", "row")
_CELL_KEYS: dict[str, Any] = {"published": float | int | None} | dict.fromkeys(
    ("leaderboard", "replay", "missing"), str | None
)
_ROW_KEYS = {"row", "title", "cells", "judge", "run"}


@dataclass
class Cell:
    """One number of the table.

    Attributes:
        published: The paper's, or None where it gives none.
        leaderboard: AlpacaEval's official one, or None.
        obtained: What came out here, from GPT-4's preferences; None when nothing did.
        n: How many preferences it is made of.
        difference: ``obtained - published``.
        how: How it was obtained, or why it was not.
        by_judge: What Self-J judges gave, by the judge's name: ``value`` (a win rate, not
            comparable with GPT-4's), ``n``, ``n_unscored``, ``n_missing``.
    """

    published: float | None
    leaderboard: float | None
    obtained: float | None = None
    n: int | None = None
    difference: float | None = None
    how: str = ""
    by_judge: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A row of the manifest.

    Attributes:
        name, title: For files and commands, and for people.
        cells: By ``CELLS``, the manifest's entries.
        judge: Name of the stored outputs a judge can score afresh, or None.
        run: What the chain does to make the row (``prompt``, ``n``), or None.
    """

    name: str
    title: str
    cells: Mapping[str, Mapping[str, Any]]
    judge: str | None
    run: Mapping[str, Any] | None


def manifest_file() -> Path:
    """The manifest that comes with the package.

    Raises:
        DataError: If the installation is damaged.
    """
    package = Path(selfj_eval.__file__).parent
    for folder in (package / "alpaca", package.parent / "leaderboards"):
        if (folder / "alpaca_table.yaml").is_file():
            return folder / "alpaca_table.yaml"
    raise DataError(f"alpaca_table.yaml is missing from {package}; install selfj-eval again.")


def read_manifest(path: Path) -> list[Row]:
    """The rows of a manifest.

    Raises:
        DataError: Naming the row and what is wrong with it.
    """
    rows = read_yaml(path)
    if not isinstance(rows, list) or not rows:
        raise DataError("expected a list of rows.", path=path)
    found: list[Row] = []
    for number, row in enumerate(rows, 1):
        place = f"row {number}"
        if not isinstance(row, dict) or not {"row", "title", "cells"} <= set(row) <= _ROW_KEYS:
            message = f"needs row, title, cells, and may have judge, run; has {row!r:.80}."
            raise DataError(message, path=path, place=place)
        name, cells, run = str(row["row"]), row["cells"], row.get("run")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) or name in {r.name for r in found}:
            message = "expected a name of its own in lower-case letters, digits, '.' and '-'."
            raise DataError(message, path=path, place=place, field="row")
        if not isinstance(cells, dict) or not isinstance(run, dict | None):
            message = "cells, and run where there is one, have names and values."
            raise DataError(message, path=path, place=place)
        for name, cell in cells.items():
            if (
                name not in CELLS
                or not isinstance(cell, dict)
                or not _CELL_KEYS.keys() >= set(cell)
            ):
                message = f"a cell is one of {', '.join(CELLS)} and has {', '.join(_CELL_KEYS)}."
                raise DataError(message, path=path, place=place, field=str(name))
            wrong = [key for key, kind in _CELL_KEYS.items() if not isinstance(cell.get(key), kind)]
            if wrong:
                message = f"{wrong[0]} of the cell {name} is of the wrong type."
                raise DataError(message, path=path, place=place, field=str(name))
        found.append(Row(str(row["row"]), str(row["title"]), cells, row.get("judge"), run))
    return found


def build(rows: list[Row], *, results: Path | None = None) -> dict[str, dict[str, Cell]]:
    """Fill the table: replay stored preferences, and read what ``selfj alpaca run`` left.

    Args:
        rows: The manifest's.
        results: Folder of ``selfj alpaca run``, or None.

    Returns:
        Row and cell name to the cell.
    """
    boards = {version: data.leaderboard(version) for version in data.BASELINES}
    replays: dict[tuple[str, str], Mapping[str, Any]] = {}
    table: dict[str, dict[str, Cell]] = {}
    for row in rows:
        table[row.name] = {}
        runs = {} if results is None else read_results(results, row.name)
        for name, entry in row.cells.items():
            version = name[:2]
            official = boards[version].get(entry.get("leaderboard", ""), {}).get(_NUMBER[name])
            cell = Cell(entry.get("published"), official)
            cell.how = f"not run: {entry['missing']}" if "missing" in entry else ""
            model = entry.get("replay")
            if model is not None:
                if (model, version) not in replays:
                    replays[model, version] = replay(model, version)
                how = "stored preferences replayed"
                if name == "v2_lc":
                    how += ", with the data pack's stand-in for AlpacaEval's df_gamed.csv"
                _fill(cell, replays[model, version], name, how)
            if version in runs:
                made = runs[version]
                asked = f"{made['annotator']} at {made['endpoint']}"
                how = f"fresh run: {asked}, answers of {made['model']}"
                _fill(cell, made["row"], name, how)
            if results is not None:
                cell.by_judge |= _judged(results / row.name / f"judge_{version}", row, name)
            if not cell.how:
                raise DataError(f"row {row.name}, cell {name}: needs replay or missing.")
            table[row.name][name] = cell
    return table


def replay(model: str, version: str) -> dict[str, float | int | str]:
    """A model's line of the leaderboard, from GPT-4's stored preferences.

    Raises:
        DataError: If there are none.
    """
    stored = data.stored_preferences(data.ANNOTATORS[version]).get(model)
    if not stored:
        raise DataError(f"no stored preferences of {data.ANNOTATORS[version]} for {model!r}.")
    instructions, baseline = data.evaluation_set(), data.official_baseline(version)
    answers = data.stored_outputs({model})[0]
    annotations: list[Annotation] = [
        {
            "index": k,
            "instruction": instructions.instructions[k],
            "output_1": baseline.outputs[k],
            "generator_1": baseline.model,
            "output_2": answers.outputs[k],
            "generator_2": model,
            "annotator": data.ANNOTATORS[version],
            "preference": value,
        }
        for k, value in sorted(stored.items())
    ]
    row = row_of(answers, annotations, mode="community")
    gamed = data.gamed_baselines() if version == "v2" else None
    add_length_control(row, annotations, gamed, of=len(instructions))
    return row


def result_file(results: Path, row: str, version: str) -> Path:
    """Where the chain leaves what GPT-4's annotations of a row gave."""
    return results / row / f"gpt4_{version}.json"


def read_results(results: Path, row: str) -> dict[str, Mapping[str, Any]]:
    """What the chain left for a row, by version."""
    found: dict[str, Mapping[str, Any]] = {}
    for version in data.BASELINES:
        path = result_file(results, row, version)
        if path.is_file():
            try:
                made = read_json(path)
                found[version] = {key: made[key] for key in _RESULT}
                names = {*_NUMBER.values(), "n_total"} & made["row"].keys()
                if not all(is_number(made["row"][name]) for name in names):
                    raise TypeError("a number is none")
                if names - {"n_total"} and "n_total" not in names:
                    raise KeyError("n_total")
            except (DataError, KeyError, TypeError, AttributeError) as error:
                message = f"{path} is no result of `selfj alpaca run` ({brief(error)}); delete it."
                raise StoreError(message) from error
    return found


def by_judge(line: Mapping[str, Any], cell: str) -> dict[str, float] | None:
    """What a cell says of a judge's line of the leaderboard; None where it has no number."""
    if _NUMBER.get(cell) not in line:
        return None
    counts = {"n": line["n_total"]} | {k: line[k] for k in ("n_unscored", "n_missing")}
    return {"value": float(line[_NUMBER[cell]])} | {k: int(float(v)) for k, v in counts.items()}


def _judged(folder: Path, row: Row, name: str) -> dict[str, dict[str, float]]:
    """What a judge gave in the chain, by its name."""
    line = read_leaderboard(folder / "leaderboard.csv").get(row.name, {})
    try:
        found = by_judge(line, name)
        if found is None:
            return {}
        made = read_json(folder / "run.json")
        return {str(made["judge"]["name"]): found}
    except (DataError, KeyError, TypeError) as error:
        raise StoreError(f"{folder} is no result of a run ({brief(error)}); delete it.") from error


def as_json(rows: list[Row], table: Mapping[str, Mapping[str, Cell]]) -> list[dict[str, Any]]:
    """The table as JSON."""
    return [
        {
            "row": row.name,
            "title": row.title,
            "cells": {name: asdict(cell) for name, cell in table[row.name].items()},
        }
        for row in rows
    ]


def _fill(cell: Cell, line: Mapping[str, Any], name: str, how: str) -> None:
    value = line.get(_NUMBER[name])
    if value is None:
        return
    cell.obtained, cell.n = float(value), int(line["n_total"])
    cell.how = how if cell.n == 805 else f"{how} ({cell.n} of 805)"
    cell.difference = None if cell.published is None else cell.obtained - cell.published
