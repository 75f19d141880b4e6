"""The parser of the command line, and its numbers."""

from __future__ import annotations

import argparse
from typing import NoReturn

from selfj_eval.errors import shown

_LARGEST = 2**53  # beyond what any count or seed is; libraries fail at 2**63


class Parser(argparse.ArgumentParser):
    """As argparse's; what its errors quote of the command line does nothing to a terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(shown(message))


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
