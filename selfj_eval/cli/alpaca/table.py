"""``selfj alpaca table``: the paper's AlpacaEval table."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.alpaca.shared import add_judging, check_temperature, judge_scorer
from selfj_eval.cli.evaluating import table as aligned
from selfj_eval.cli.judging import judge_options_given
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.errors import DataError
from selfj_eval.terminal import say, shown

if TYPE_CHECKING:
    from selfj_eval.alpaca.table import Cell, Row

_EPILOG = """examples:
  selfj alpaca table
  selfj alpaca table --results runs --json
  selfj alpaca table --judge demo --store judgments.store

Stored GPT-4 preferences go through AlpacaEval's own metric; `selfj alpaca run` fills the rows of
models that have no stored ones (--results). With --judge, that judge scores the stored outputs of
the rows that have some: its win rates stand apart, for they are not GPT-4's.
Exit status: 0; 1 when answers were unscored; 2 for wrong input.
"""
_TITLES = {"v1": "AlpacaEval 1", "v2": "AlpacaEval 2", "v2_lc": "AlpacaEval 2, length-controlled"}


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "table",
        help="the paper's AlpacaEval table: published numbers, and those obtained here",
        description="The paper's AlpacaEval table: published numbers beside those obtained here.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", metavar="DIR", help="what `selfj alpaca run` wrote")
    parser.add_argument("--manifest", metavar="FILE", help="other rows than the paper's (YAML)")
    parser.add_argument("--judge", metavar="MODEL", help="score stored outputs with this judge")
    add_judging(parser)
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    from selfj_eval.alpaca.table import as_json, build, manifest_file, read_manifest
    from selfj_eval.alpaca.upstream import alpaca_eval

    check_temperature(options)
    alpaca_eval()
    stray = [flag for flag in ("references", "temperature") if getattr(options, flag) is not None]
    stray = [f"--{flag}" for flag in stray] + judge_options_given(options)
    if stray and not options.judge:
        raise DataError(
            f"{', '.join(stray)}: for a judge that runs; give --judge, or leave it out."
        )
    if options.judge and not options.store:
        raise DataError("give --store FILE with --judge: finished judgments are kept there.")
    results = None if options.results is None else Path(options.results)
    if results is not None and not results.is_dir():
        raise DataError("there is no such folder.", path=results)
    rows = read_manifest(Path(options.manifest) if options.manifest else manifest_file())
    table = build(rows, results=results)
    errors = _judge(options, rows, table) if options.judge else []
    for error in errors[:10]:
        say(f"UNSCORED {shown(error)}", file=sys.stderr)
    status = int(bool(errors))
    if options.json:
        say(json.dumps(as_json(rows, table), allow_nan=False))
        return status
    for row in rows:
        say(row.title)
        lines = [["", "published", "leaderboard", "obtained", "less published", "n"]]
        for name, cell in table[row.name].items():
            numbers = (cell.published, cell.leaderboard, cell.obtained, cell.difference)
            cells = ["-" if value is None else f"{value:.4f}" for value in numbers]
            cells[0] = "-" if cell.published is None else f"{cell.published:g}"
            lines.append([_TITLES[name], *cells, "" if cell.n is None else str(cell.n)])
        say(aligned(lines))
        for name, cell in table[row.name].items():
            say(f"    {_TITLES[name]}, by GPT-4: {cell.how}")
            for judge, found in cell.by_judge.items():
                say(
                    f"      by the judge {shown(judge)}: {found['value']:.2f} (n {found['n']}, "
                    f"{found['n_unscored']} unscored, {found['n_missing']} missing)"
                )
        if row.run and not any(cell.n for cell in table[row.name].values()):
            say(f"    make it: selfj alpaca run {row.name} --model FOLDER --output runs ...")
        say()
    return status


def _judge(
    options: argparse.Namespace, rows: list[Row], table: dict[str, dict[str, Cell]]
) -> list[str]:
    """A fresh run of the judge on the stored outputs of the rows that have some.

    Returns:
        Why answers are unscored.
    """
    from selfj_eval.alpaca import data
    from selfj_eval.alpaca.evaluation import Evaluation
    from selfj_eval.alpaca.table import by_judge
    from selfj_eval.store import JudgmentStore

    named = [row for row in rows if row.judge]
    stored = data.stored_outputs({row.judge for row in named if row.judge})
    models = {answers.model: answers for answers in stored}
    instructions = data.evaluation_set()
    errors: list[str] = []
    with JudgmentStore(options.store) as store:
        scorer = judge_scorer(options, store, instructions)
        total = (len(named) + 1) * len(instructions) * len(data.BASELINES)
        with ProgressLine(total, "judged", "answer") as progress:
            for version in data.BASELINES:
                evaluation = Evaluation(
                    scorer,
                    instructions,
                    data.official_baseline(version),
                    temperature=options.temperature,
                    gamed=data.gamed_baselines() if version == "v2" else None,
                    progress=progress,
                )
                for row in named:
                    result = evaluation.evaluate(models[row.judge or ""])
                    errors += result.errors
                    for name in (version, f"{version}_lc"):
                        cell, found = table[row.name].get(name), by_judge(result.row, name)
                        if cell is not None and found is not None:
                            cell.by_judge[scorer.name] = found
    return list(dict.fromkeys(errors))
