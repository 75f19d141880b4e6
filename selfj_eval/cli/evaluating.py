"""What the subcommands share that evaluate scores."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from selfj_eval.errors import DataError
from selfj_eval.results import table as table
from selfj_eval.terminal import say, shown

_LEAST = 1e-9


def check_range(name: str, value: float) -> None:
    """Refuse an option that must lie between 0 and 1, both excluded."""
    if not _LEAST <= value <= 1 - _LEAST:  # beyond, what is computed of it has no digits left
        raise DataError(f"{name} must lie between 0 and 1, got {value:g}.")


def print_notices(path: object, sentences: Iterable[str]) -> None:
    """Say on stderr what was recognised, converted or ignored in a file."""
    for sentence in sentences:
        say(f"note: {shown(path)}: {shown(sentence)}", file=sys.stderr)
