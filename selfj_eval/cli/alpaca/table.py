"""``selfj alpaca table``: the paper's AlpacaEval table."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from selfj_eval.alpaca.paper_table import TableOptions, table_rows
from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.errors import shown
from selfj_eval.jobs.terminal import say

_EPILOG = """examples:
  selfj alpaca table
  selfj alpaca table --results runs --json
  selfj alpaca table --judge demo --store judgments.store

The numbers come from stored GPT-4 preferences and AlpacaEval's own metric. `selfj alpaca run` fills
the rows of models that have no stored preferences (--results). With --judge, that judge scores the
stored outputs of the rows that have some. Its win rates are shown separately, because they are not
GPT-4's.
Exit status: 0; 1 when answers were unscored; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "table",
        run,
        help="the paper's AlpacaEval table: published numbers, and those obtained here",
        description="Show the paper's AlpacaEval table: published numbers beside those obtained "
        "here.",
        epilog=_EPILOG,
    )
    add_flags(parser, TableOptions)


def run(arguments: argparse.Namespace) -> int:
    """Print the table; returns the exit status."""
    result = table_rows(options_from(arguments, TableOptions, progress=watch))
    for error in result.errors[:10]:
        say(f"UNSCORED {shown(error)}", file=sys.stderr)
    show(result, arguments)
    return 1 if result.errors else 0
