"""The parser of the command line, and its numbers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from selfj_eval.errors import shown
from selfj_eval.jobs.terminal import say

_LARGEST = 2**53  # beyond what any count or seed is; libraries fail at 2**63


class Parser(argparse.ArgumentParser):
    """As argparse's; it suggests words, and what it prints does nothing to a terminal.

    Attributes:
        commands: What ``add_subparsers`` gave, if it has commands.
    """

    commands: Any = None

    def error(self, message: str) -> NoReturn:
        super().error(shown(message))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but a flag that nobody knows is an error before one that is missing."""
        if self._subparsers is None:
            for word in _flags(sys.argv[1:] if args is None else args):
                if not self._get_option_tuples(word) and word not in self._option_string_actions:
                    near = suggestion(word, self._option_string_actions)
                    known = f"; `{self.prog} --help` lists the options"
                    self.error(f"unrecognized argument: {word}{near or known * self.add_help}")
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            if near := suggestion(str(value), map(str, action.choices or ())):
                error.message = f"invalid choice: {value!r}{near}"
            raise

    def _print_message(self, message: str, file: Any = None) -> None:
        say(message, file=file, end="")


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of an error about a word: the known one that looks most like it, if any does."""
    bare = {item.lstrip("-"): item for item in known}
    near = get_close_matches(word.lstrip("-"), list(bare), n=1, cutoff=0.7)
    return f"; did you mean {bare[near[0]]}?" if near else ""


def _flags(words: Sequence[str]) -> Iterator[str]:
    """The words that argparse takes for long flags, without their values."""
    for word in words:
        if word == "--":
            return
        if word.startswith("--") and " " not in word:
            yield word.partition("=")[0]


def whole(text: str) -> int:
    """A whole number. What it may be, each command checks.

    Raises:
        ValueError: If it is none, which argparse tells.
        ArgumentTypeError: If it is beyond all use.
    """
    value = int(text)
    if abs(value) > _LARGEST:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is too large a number")
    return value


whole.__name__ = "int"  # what argparse calls it: "invalid int value"
