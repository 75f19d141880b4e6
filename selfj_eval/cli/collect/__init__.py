"""``selfj collect``: the instruction collection."""

from __future__ import annotations

from typing import Any

from selfj_eval.cli.command import add_group

_COMMANDS = ("run", "sample", "stats")
_EPILOG = """examples:
  selfj collect run --output collection
  selfj collect sample collection --n 87000 --output sft.jsonl
  selfj collect stats collection
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand with its own subcommands."""
    add_group(
        subparsers,
        "collect",
        _COMMANDS,
        description="Make Self-J's instruction collection from 37 public sources in three "
        "categories.",
        epilog=_EPILOG,
    )
