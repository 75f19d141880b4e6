"""``selfj doctor``: what is installed, what works, and what to do about the rest."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    add_command(
        subparsers,
        "doctor",
        run,
        description="Check what is installed, which engines work, and whether lm-eval finds the "
        "tasks. The exit status is 1 if something that should work does not.",
        epilog="example: selfj doctor --json",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; returns the exit status."""
    from selfj_eval.harness.installation import examine

    result = examine()
    show(result, arguments)
    return 0 if result.works else 1
