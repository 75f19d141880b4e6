"""``selfj ladder``: write the embedded benchmark as a file of records."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.demo.ladder import LadderFileOptions, write_ladder_file


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "ladder",
        run,
        description="Write the quality ladder: instructions with ten answers each, whose ratings, "
        "0 to 9, are known by construction. The defaults give the embedded benchmark.",
        epilog="example: selfj ladder --output ladder.jsonl",
    )
    add_flags(parser, LadderFileOptions)


def run(arguments: argparse.Namespace) -> int:
    """Write the file; returns the exit status."""
    show(write_ladder_file(options_from(arguments, LadderFileOptions)), arguments)
    return 0
