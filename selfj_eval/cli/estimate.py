"""``selfj estimate``: what many scores and few ratings say about all answers."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.evaluation.estimate import EstimateOptions, estimate_answers

_EXAMPLES = """examples:
  selfj estimate scores.jsonl --ratings labels.csv
  selfj estimate scores.jsonl --ratings labels.csv --scale 1 5 --good-at 7
  selfj estimate scores.jsonl --ratings labels.csv --models my-7b,my-13b

SCORES has the scores of all answers. The ratings are of a part of them, chosen at random or by
`selfj plan`. The ratings correct the scores, and the interval is valid whether the judge is good or
not. docs/estimating.md explains every number.
Exit status: 0; 1 when no interval can be given; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "estimate",
        run,
        description="Estimate the mean rating of all answers, the share of good ones, or the "
        "difference of two models, from many scores and few ratings.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("scores", metavar="SCORES", help="scored answers")
    add_flags(parser, EstimateOptions, commas=("models",))


def run(arguments: argparse.Namespace) -> int:
    """Estimate."""
    result = estimate_answers(arguments.scores, options_from(arguments, EstimateOptions))
    show(result, arguments)
    return 0 if result.estimates[0].combined.interval is not None else 1
