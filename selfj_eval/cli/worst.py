"""``selfj worst``: the answers with the lowest scores."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.evaluation.worst import WorstOptions, worst_answers

_EXAMPLES = """examples:
  selfj worst scores.jsonl
  selfj worst scores.jsonl --n 50 --model my-7b --category coding
  selfj worst scores.jsonl --json > worst.json

The answers need no ratings. Read them before you trust the scores: a judge's mistakes are easiest
to see at the ends. Exit status: 0; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "worst",
        run,
        description="List the answers with the lowest scores, the lowest first.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("scores", metavar="SCORES", help="scored answers")
    add_flags(parser, WorstOptions)


def run(arguments: argparse.Namespace) -> int:
    """List."""
    show(worst_answers(arguments.scores, options_from(arguments, WorstOptions)), arguments)
    return 0
