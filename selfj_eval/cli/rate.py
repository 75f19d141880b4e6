"""``selfj rate``: people rate answers in the browser."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.workbench.rate import RateOptions, rate_answers

_EXAMPLES = """examples:
  selfj plan scores.jsonl --budget 100 --scale 1 5
  selfj rate scores.jsonl.plan.csv --output ratings.jsonl
  selfj estimate scores.jsonl --ratings ratings.jsonl
  selfj rate answers.jsonl --output ratings.jsonl --scale 1 5 --guidelines how.md

The page shows one answer at a time, without its score or model. Keys: the digits rate, s skips, u
undoes the last rating, c writes a comment, ? shows all keys. A rating is on the disk before the
next answer appears. Ctrl-C ends the command; run it again to continue. docs/rating.md says more.
The command needs the extra `web` (pip install "selfj-eval[web]").
Exit status: 0; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "rate",
        run,
        description="Rate answers in the browser, without knowing their score or model.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "answers", metavar="ANSWERS", help="a plan from `selfj plan`, or any file of answers"
    )
    add_flags(parser, RateOptions)


def run(arguments: argparse.Namespace) -> int:
    """Serve the page."""
    show(rate_answers(arguments.answers, options_from(arguments, RateOptions)), arguments)
    return 0
