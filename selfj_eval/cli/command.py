"""What every command does around its one call: its parser, its progress, its printing."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from selfj_eval.cli.flags import as_flags
from selfj_eval.cli.guard import stop_if_asked
from selfj_eval.cli.parser import Parser
from selfj_eval.errors import shown
from selfj_eval.jobs.progress import Bar, Step
from selfj_eval.jobs.results import Result
from selfj_eval.jobs.terminal import say

_bar = Bar()


def add_command(
    subparsers: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    description: str,
    epilog: str,
    help: str | None = None,
    json: bool = True,
) -> Parser:
    """A subcommand's parser.

    Args:
        subparsers: Gets it.
        name: The subcommand's.
        run: Runs it; returns the exit status.
        description: What it does.
        epilog: Examples, and what else is to be known.
        help: One line for the list of a group's commands; ``cli`` has that of all others, and a
            shell that completes them shows the description.
        json: Whether it can print its result as JSON.
    """
    parser: Parser = subparsers.add_parser(
        name,
        help=help or description.replace("%", "%%"),
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if json:
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run, command_parser=parser)
    return parser


def add_group(
    subparsers: Any, name: str, commands: Iterable[str], *, description: str, epilog: str
) -> None:
    """A subcommand with subcommands of its own, each in a module of the package of its name.

    Args:
        subparsers: Gets it.
        name: The subcommand's, and its package's in ``cli``.
        commands: Names of its subcommands and their modules.
        description, epilog: As for ``add_command``.
    """
    parser = subparsers.add_parser(
        name,
        help=description,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added = parser.add_subparsers(dest=f"{name}_command", required=True, metavar="COMMAND")
    for command in commands:
        importlib.import_module(f"selfj_eval.cli.{name}.{command}").add_parser(added)


def watch(step: Step) -> None:
    """Show progress, and hear a signal that some library has swallowed.

    Raises:
        Stopped: If the command was asked to end.
    """
    stop_if_asked()
    _bar(step)


def show(result: Result, arguments: argparse.Namespace) -> None:
    """Print a result: as JSON where that was asked for, else for people."""
    if arguments.json:
        say(json.dumps(result.document(), allow_nan=False))
    else:
        say(as_flags(str(result), arguments.command_parser))


def print_notices(path: object, sentences: Iterable[str]) -> None:
    """Say on stderr what was recognised, converted or ignored in a file."""
    for sentence in sentences:
        say(f"note: {shown(path)}: {shown(sentence)}", file=sys.stderr)
