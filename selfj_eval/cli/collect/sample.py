"""``selfj collect sample``: random instructions of a collection."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.collection.sampling import SampleOptions, sample_collection

_EPILOG = """examples:
  selfj collect sample collection --n 87000 --output sft.jsonl       # instruction tuning
  selfj collect sample collection --n 30000 --exclude sft.jsonl --output judge.jsonl

Only the seed and the ids decide which instructions are drawn and in which order. The sample is the
same on any number of workers, and a smaller sample is the beginning of a larger one. Rows have id,
instruction, source and category, which selfj generate and selfj label read.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "sample",
        run,
        help="draw random instructions for training",
        description="Draw random instructions from a collection.",
        epilog=_EPILOG,
    )
    parser.add_argument("collection", metavar="DIR", help="folder that selfj collect run wrote")
    add_flags(parser, SampleOptions, repeated=("category", "exclude"), required=("output",))


def run(arguments: argparse.Namespace) -> int:
    """Draw the sample; returns the exit status."""
    options = options_from(arguments, SampleOptions, progress=watch)
    show(sample_collection(arguments.collection, options), arguments)
    return 0
