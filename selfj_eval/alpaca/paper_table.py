"""The paper's AlpacaEval table: published numbers beside what is obtained here, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.alpaca.gpt4 import Made, read_results
from selfj_eval.alpaca.manifest import Entry, ManifestRow, read_manifest
from selfj_eval.alpaca.options import ComparisonOptions
from selfj_eval.errors import DataError, StoreError, brief, shown
from selfj_eval.files.documents import read_json
from selfj_eval.jobs.options import PathLike, keywords, option
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.jobs.results import Result, plain
from selfj_eval.jobs.results import table as aligned
from selfj_eval.raters.protocol import Rater
from selfj_eval.registry import alpaca_pack

if TYPE_CHECKING:
    from selfj_eval.alpaca.evaluation import Line
    from selfj_eval.alpaca.upstream import Annotation

_TITLES = {"v1": "AlpacaEval 1", "v2": "AlpacaEval 2", "v2_lc": "AlpacaEval 2, length-controlled"}
_NUMBER = {"v1": "win_rate", "v2": "win_rate", "v2_lc": "length_controlled_winrate"}


@dataclass(frozen=True, kw_only=True)
class TableOptions(ComparisonOptions):
    """What the table is filled with."""

    results: PathLike | None = option(
        None, "folder that `selfj alpaca run` wrote", placeholder="DIR"
    )
    manifest: PathLike | None = option(
        None, "YAML file with other rows than the paper's", placeholder="FILE"
    )
    judge: str | Rater | None = option(
        None, "also score the stored outputs with this judge", placeholder="JUDGE"
    )
    store: PathLike | None = option(None, "file that keeps judgments", placeholder="FILE")
    progress: Watch = option(False, internal=True)

    def check(self) -> None:
        """Refuse options of a judge where none runs, and a judge whose work would be lost."""
        if self.judge is None:
            own = {declared.name for declared in ComparisonOptions.declared()} | {"store"}
            stray = [f"`{name}`" for name in self.changed() if name in own]
            if stray:
                raise DataError(
                    f"{', '.join(stray)}: for a judge that runs; give `judge`, or leave it out."
                )
        elif self.store is None:
            raise DataError("give `store` with `judge`: finished judgments are kept there.")


@dataclass(frozen=True)
class JudgeNumber:
    """A win rate by a judge; it is not comparable with GPT-4's.

    Attributes:
        value: In percent.
        n, n_unscored, n_missing: How many comparisons it is made of, and how many are not there.
    """

    value: float
    n: int
    n_unscored: int
    n_missing: int


@dataclass(frozen=True)
class Cell:
    """One number of the table.

    Attributes:
        published: The paper's, or None where it gives none.
        leaderboard: AlpacaEval's official one, or None.
        obtained: What came out here, from GPT-4's preferences; None when nothing did.
        n: How many preferences it is made of.
        difference: ``obtained - published``.
        how: How it was obtained, or why it was not.
        by_judge: What judges gave, by the judge's name.
    """

    published: float | None
    leaderboard: float | None
    obtained: float | None = None
    n: int | None = None
    difference: float | None = None
    how: str = ""
    by_judge: Mapping[str, JudgeNumber] = field(default_factory=dict)


@dataclass(frozen=True)
class TableRow:
    """A model of the table.

    Attributes:
        row, title: Its name for files and commands, and for people.
        cells: By ``manifest.CELLS``.
        to_run: Whether ``selfj alpaca run`` can fill it and has not.
    """

    row: str
    title: str
    cells: Mapping[str, Cell]
    to_run: bool

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it as JSON."""
        return {"row": self.row, "title": self.title, "cells": plain(self.cells)}

    def __str__(self) -> str:
        lines = [["", "published", "leaderboard", "obtained", "less published", "n"]]
        for name, cell in self.cells.items():
            numbers = (cell.published, cell.leaderboard, cell.obtained, cell.difference)
            cells = ["-" if value is None else f"{value:.4f}" for value in numbers]
            cells[0] = "-" if cell.published is None else f"{cell.published:g}"
            lines.append([_TITLES[name], *cells, "" if cell.n is None else str(cell.n)])
        texts = [self.title, aligned(lines)]
        for name, cell in self.cells.items():
            texts.append(f"    {_TITLES[name]}, by GPT-4: {cell.how}")
            texts += [
                f"      by the judge {shown(judge)}: {found.value:.2f} (n {found.n}, "
                f"{found.n_unscored} unscored, {found.n_missing} missing)"
                for judge, found in cell.by_judge.items()
            ]
        if self.to_run:
            texts.append(f"    make it: selfj alpaca run {self.row}")
        return "\n".join(texts)


@dataclass(frozen=True)
class PaperTable(Result):
    """The table.

    Attributes:
        table: Its rows.
        errors: Why answers are unscored by the judge that ran, each reason once.
    """

    table: Sequence[TableRow]
    errors: Sequence[str] = ()

    def document(self) -> list[dict[str, Any]]:
        """One row after the other."""
        return [row.to_dict() for row in self.table]

    def rows(self) -> list[dict[str, Any]]:
        """One row per cell; what judges gave is in ``table``."""
        return [
            {"row": row.row, "cell": name}
            | {key: value for key, value in asdict(cell).items() if key != "by_judge"}
            for row in self.table
            for name, cell in row.cells.items()
        ]

    def __str__(self) -> str:
        return "\n".join(f"{row}\n" for row in self.table)


def table_rows(options: TableOptions) -> PaperTable:
    """The paper's AlpacaEval table: published numbers beside those obtained here.

    The numbers come from stored GPT-4 preferences and AlpacaEval's own metric; ``alpaca.run`` fills
    the rows of models that have no stored preferences. A judge scores the stored outputs of the
    rows that have some.

    Args:
        options: What the table is filled with.

    Raises:
        DataError: If AlpacaEval's data are missing, or the manifest is not valid.
        JudgeError: If the judge cannot be loaded, or AlpacaEval is not installed.
        StoreError: If results of ``alpaca.run`` are damaged.
    """
    from selfj_eval.alpaca.upstream import alpaca_eval

    alpaca_eval()
    results = None if options.results is None else Path(options.results)
    if results is not None and not results.is_dir():
        raise DataError("there is no such folder.", path=results)
    rows = read_manifest(options.manifest)
    made = build(rows, results=results)
    if options.judge is None:
        return PaperTable(made)
    judged, errors = _by_judge(options.judge, options, rows)
    return PaperTable([_with(row, judged.get(row.row, {})) for row in made], errors)


table = keywords(table_rows, TableOptions)


def build(rows: Sequence[ManifestRow], *, results: Path | None = None) -> list[TableRow]:
    """Fill the table: replay stored preferences, and read what ``alpaca.run`` left.

    Args:
        rows: The manifest's.
        results: Folder of ``alpaca.run``, or None.
    """
    boards = {version: alpaca_pack.leaderboard(version) for version in alpaca_pack.BASELINES}
    replays: dict[tuple[str, str], Line] = {}
    found = []
    for row in rows:
        runs = {} if results is None else read_results(results, row.name)
        cells = {}
        for name, entry in row.cells.items():
            version = name[:2]
            key = (entry.replay or "", version)
            if entry.replay is not None and key not in replays:
                replays[key] = replay(entry.replay, version)
            official = boards[version].get(entry.leaderboard or "", {}).get(_NUMBER[name])
            cell = _cell(entry, official, name, replays.get(key), runs.get(version))
            if results is not None:
                judged = _judged(results / row.name / f"judge_{version}", row, name)
                cell = replace(cell, by_judge=judged)
            if not cell.how:
                raise DataError(f"row {row.name}, cell {name}: needs replay or missing.")
            cells[name] = cell
        to_run = row.run is not None and not any(cell.n for cell in cells.values())
        found.append(TableRow(row.name, row.title, cells, to_run))
    return found


def _cell(
    entry: Entry, official: float | None, name: str, replayed: Line | None, run: Made | None
) -> Cell:
    how = "" if entry.missing is None else f"not run: {entry.missing}"
    cell = Cell(entry.published, official, how=how)
    if replayed is not None:
        how = "stored preferences replayed"
        if name == "v2_lc":
            how += ", with the data pack's stand-in for AlpacaEval's df_gamed.csv"
        cell = _filled(cell, replayed, name, how)
    if run is not None:
        how = f"fresh run: {run.annotator} at {run.endpoint}, answers of {run.model}"
        cell = _filled(cell, run.line, name, how)
    return cell


def _filled(cell: Cell, line: Line, name: str, how: str) -> Cell:
    value = getattr(line, _NUMBER[name])
    if value is None:
        return cell
    return replace(
        cell,
        obtained=value,
        n=line.n_total,
        how=how if line.n_total == 805 else f"{how} ({line.n_total} of 805)",
        difference=None if cell.published is None else value - cell.published,
    )


def replay(model: str, version: str) -> Line:
    """A model's line of the leaderboard, from GPT-4's stored preferences.

    Raises:
        DataError: If there are none.
    """
    from selfj_eval.alpaca.evaluation import line_of, with_length_control

    stored = alpaca_pack.stored_preferences(alpaca_pack.ANNOTATORS[version]).get(model)
    if not stored:
        raise DataError(
            f"no stored preferences of {alpaca_pack.ANNOTATORS[version]} for {model!r}."
        )
    instructions, baseline = (
        alpaca_pack.evaluation_set(),
        alpaca_pack.official_baseline(version),
    )
    answers = alpaca_pack.stored_outputs({model})[0]
    annotations: list[Annotation] = [
        {
            "index": k,
            "instruction": instructions.instructions[k],
            "output_1": baseline.outputs[k],
            "generator_1": baseline.model,
            "output_2": answers.outputs[k],
            "generator_2": model,
            "annotator": alpaca_pack.ANNOTATORS[version],
            "preference": value,
        }
        for k, value in sorted(stored.items())
    ]
    line = line_of(answers, annotations, mode="community")
    gamed = alpaca_pack.gamed_baselines() if version == "v2" else None
    return with_length_control(line, annotations, gamed, of=len(instructions))[0]


def _number_of(line: Line, cell: str) -> JudgeNumber | None:
    """What a cell says of a judge's line of the leaderboard; None where it has no number."""
    value = getattr(line, _NUMBER[cell])
    if value is None:
        return None
    return JudgeNumber(value, line.n_total, line.n_unscored, line.n_missing)


def _judged(folder: Path, row: ManifestRow, name: str) -> dict[str, JudgeNumber]:
    """What a judge gave in ``alpaca.run``, by its name."""
    from selfj_eval.alpaca.evaluation import Line, read_leaderboard

    cells = read_leaderboard(folder / "leaderboard.csv").get(row.name, {})
    try:
        found = _number_of(Line.of(cells), name)
        if found is None:
            return {}
        for count in ("n_total", "n_unscored", "n_missing"):
            if count not in cells:
                raise KeyError(count)
        made = read_json(folder / "run.json")
        return {str(made["judge"]["name"]): found}
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{folder} is no result of a run ({brief(error)}); delete it.") from error


def _by_judge(
    judge: str | Rater, options: TableOptions, rows: Sequence[ManifestRow]
) -> tuple[dict[str, dict[str, dict[str, JudgeNumber]]], list[str]]:
    """A fresh run of the judge on the stored outputs of the rows that have some.

    Returns:
        By row and cell the judge's number by its name; and why answers are unscored.
    """
    from selfj_eval.alpaca.evaluation import BaselineComparison
    from selfj_eval.alpaca.rating import named_rater

    named = {row.name: row.judge for row in rows if row.judge}
    models = {answers.model: answers for answers in alpaca_pack.stored_outputs({*named.values()})}
    instructions = alpaca_pack.evaluation_set()
    found: dict[str, dict[str, dict[str, JudgeNumber]]] = {name: {} for name in named}
    errors: list[str] = []
    total = (len(named) + 1) * len(instructions) * len(alpaca_pack.BASELINES)
    with (
        named_rater(judge, options, instructions, options.store or ":memory:") as rater,
        steps(options.progress, total, "judged", "answer") as progress,
    ):
        rater = rater.prepare(
            instructions,
            [alpaca_pack.official_baseline(v) for v in alpaca_pack.BASELINES],
        )
        for version in alpaca_pack.BASELINES:
            evaluation = BaselineComparison(
                rater,
                instructions,
                alpaca_pack.official_baseline(version),
                temperature=options.temperature,
                gamed=alpaca_pack.gamed_baselines() if version == "v2" else None,
                progress=progress,
            )
            for name, model in named.items():
                result = evaluation.evaluate(models[model])
                errors += result.errors
                for cell in (version, f"{version}_lc"):
                    number = _number_of(result.line, cell) if cell in _NUMBER else None
                    if number is not None:
                        found[name][cell] = {rater.name: number}
    return found, list(dict.fromkeys(errors))


def _with(row: TableRow, judged: Mapping[str, Mapping[str, JudgeNumber]]) -> TableRow:
    cells = {
        name: replace(cell, by_judge={**cell.by_judge, **judged.get(name, {})})
        for name, cell in row.cells.items()
    }
    return replace(row, cells=cells)
