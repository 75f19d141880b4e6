"""``selfj collect stats``: what a collection holds, as tables and figures."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, as_flags, options_from
from selfj_eval.collection.describing import StatsOptions, stats_of
from selfj_eval.errors import shown
from selfj_eval.jobs.terminal import say

_EPILOG = """examples:
  selfj collect stats collection
  selfj collect stats collection --output figures --sample 5000 --parser en_core_web_md
  selfj collect stats collection --sample 0              # without the root verbs

COLLECTION is the folder that `selfj collect run` wrote. The command writes to DIR: stats.json,
sources.csv, stats.md, stats.html, and as SVG and PNG the figures categories, characters, words and
verbs. The figures and the page need the extra `report`. The root verbs need spaCy (extra `collect`)
and one of its pipelines: python -m spacy download en_core_web_sm. If a package is missing,
everything that does not need it is still written.
Exit status: 0; 1 when something was skipped because a package is missing; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "stats",
        run,
        help="sources, categories, lengths and root verbs of a collection: tables and figures",
        description="Show what a collection contains: sources beside the published counts, "
        "categories, lengths, and the root verbs of a random sample with their first "
        "nouns.",
        epilog=_EPILOG,
    )
    parser.add_argument("collection", metavar="COLLECTION", help="the collection's folder")
    add_flags(parser, StatsOptions)


def run(arguments: argparse.Namespace) -> int:
    """Count, draw and write; returns the exit status."""
    result = stats_of(arguments.collection, options_from(arguments, StatsOptions, progress=watch))
    for reason in result.left_out.values():
        reason = as_flags(shown(reason), arguments.command_parser)
        say(f"SKIPPED {reason}", file=sys.stderr)
    show(result, arguments)
    return 1 if result.left_out else 0
