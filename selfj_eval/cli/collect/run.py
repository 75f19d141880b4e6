"""``selfj collect run``: the instruction collection from its sources."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.collection.collecting import CollectOptions, run_collection

_EPILOG = """examples:
  selfj collect run --output collection                   # all 37 sources from the hub
  selfj collect run --output collection --from downloads  # from JSONL or Parquet: downloads/NAME/
  selfj collect run --output collection --sources mbpp,qasc --evaluation none

Each source is read, converted to instructions in their original wording, and filtered.
Instructions that are in an evaluation set are dropped. Then exact and near duplicates are removed
over all sources together; the earlier one is kept. The command writes DIR/Common, DIR/Coding and
DIR/Academic with one Parquet file per source (id, instruction, source, category), and
DIR/summary.json with the counts of every step beside the published ones. docs/collection.md
explains the steps.

A finished source is kept in DIR/work. After an interruption, run the same command again: it gives
the same files. A source that fails is named and does not stop the others.
Exit status: 0, 1 when a source failed, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "run",
        run,
        help="make the collection from its sources",
        description="Make the instruction collection from its 37 sources.",
        epilog=_EPILOG,
    )
    commas = ("sources", "evaluation")
    add_flags(parser, CollectOptions, renamed={"output": ["--out"]}, commas=commas)


def run(arguments: argparse.Namespace) -> int:
    """Make the collection; returns the exit status."""
    made = run_collection(options_from(arguments, CollectOptions, progress=watch))
    show(made, arguments)
    return 1 if made.failed else 0
