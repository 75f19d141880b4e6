"""``selfj collect``: the instruction collection."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

_COMMANDS = ("run", "sample", "stats")
_EPILOG = """examples:
  selfj collect run --output collection
  selfj collect sample collection --n 87000 --output sft.jsonl
  selfj collect stats collection
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand with its own subcommands."""
    parser = subparsers.add_parser(
        "collect",
        help="the collection of instructions that judges are trained with",
        description="The instruction collection of Self-J: 37 public sources in three categories.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="collect_command", required=True, metavar="COMMAND")
    for name in _COMMANDS:
        importlib.import_module(f"selfj_eval.cli.collect.{name}").add_parser(commands)
