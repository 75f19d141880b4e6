"""``selfj plan``: which answers to rate."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.evaluation.plan import PlanOptions, plan_ratings

_EXAMPLES = """examples:
  selfj plan scores.jsonl --budget 100
  selfj plan scores.jsonl --width 0.5 --ratings pilot.csv --output labels.csv
  selfj plan scores.jsonl --budget 100 --models my-7b,my-13b
  selfj estimate scores.jsonl --ratings labels.csv

The file shows neither scores nor models. Fill in its column `rating` from the top, or rate in the
browser with `selfj rate`. The order is random, so you may stop early. With a pilot (--ratings),
however, all rows must be rated. `selfj estimate` reads the file. docs/estimating.md says how to
choose.
Exit status: 0; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "plan",
        run,
        description="Choose which answers to rate, and write them into a file to fill in.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("scores", metavar="SCORES", help="scored answers")
    add_flags(parser, PlanOptions, commas=("models",))


def run(arguments: argparse.Namespace) -> int:
    """Plan."""
    show(plan_ratings(arguments.scores, options_from(arguments, PlanOptions)), arguments)
    return 0
