"""The exceptions a user of this package meets.

Every message says what was wrong, where, what was expected and what to do next.
The command line prints the message alone and exits with status 2.
"""

from __future__ import annotations

import os
from pathlib import Path


def printable(path: str | Path) -> str:
    """A path as valid text, also when its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


class SelfJError(Exception):
    """Base of all errors this package raises on purpose."""


class DataError(SelfJError):
    """Input that cannot be read as records.

    Args:
        message: What was wrong, what was expected and what to do.
        path: The file, if the data came from one.
        place: Where in the file, such as ``line 3`` (text files) or ``row 3`` (JSON, Parquet).
        field: Name of the offending field.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | Path | None = None,
        place: str | None = None,
        field: str | None = None,
    ) -> None:
        self.message = message
        self.path = None if path is None else printable(path)
        self.place = place
        self.field = field
        named = None if field is None else f"field {field!r}"
        where = ", ".join(part for part in (self.path, place, named) if part)
        super().__init__(f"{where}: {message}" if where else message)


class JudgeError(SelfJError):
    """A judge that cannot be loaded or cannot be used for scoring."""


class StoreError(SelfJError):
    """Judgments or results that cannot be read from or written to disk."""


def brief(error: BaseException) -> str:
    """The first line of a library's message, not its lists of everything it knows."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 300 else lines[0][:300] + "..."
