"""``selfj leaderboard``: collect results of judges into one table."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.evaluation.leaderboard import LeaderboardOptions, leaderboard_of

_EXAMPLES = """examples:
  lm_eval --model hf --model_args pretrained=MODEL --tasks judge_bench --output_path results
  selfj leaderboard results
  selfj eval scores.jsonl --json > evaluation.json
  selfj leaderboard results evaluation.json --output mine.csv --markdown mine.md

Rows that are already in the output are kept. A new result replaces the row of the same judge on the
same data set with the same --good-at, if both were with the reference or both without it. Paths of
your machine are not written into the table.
Exit status: 0, or 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "leaderboard",
        run,
        description="Collect the results of judges, from lm-eval and `selfj eval --json`, in one "
        "CSV.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "results",
        nargs="+",
        metavar="RESULTS",
        help="lm-eval's results_*.json, output of `selfj eval --json`, or folders of these",
    )
    add_flags(parser, LeaderboardOptions)


def run(arguments: argparse.Namespace) -> int:
    """Collect the results; returns the exit status."""
    show(leaderboard_of(arguments.results, options_from(arguments, LeaderboardOptions)), arguments)
    return 0
