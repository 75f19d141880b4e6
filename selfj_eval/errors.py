"""The exceptions a user of this package meets.

Every message says what was wrong, where, what was expected and what to do next.
The command line prints the message alone and exits with status 2.
"""

from __future__ import annotations

from pathlib import Path


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
        self.path = None if path is None else str(path)
        self.place = place
        self.field = field
        named = None if field is None else f"field {field!r}"
        where = ", ".join(part for part in (self.path, place, named) if part)
        super().__init__(f"{where}: {message}" if where else message)


class JudgeError(SelfJError):
    """A judge that cannot be loaded or cannot be used for scoring."""


class StoreError(SelfJError):
    """Judgments or results that cannot be read from or written to disk."""
