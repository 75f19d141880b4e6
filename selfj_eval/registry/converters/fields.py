"""Values of upstream's rows, and the error where the layout is another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from selfj_eval.registry.upstream import UpstreamFile


def listed(file: UpstreamFile, *names: str) -> Iterator[tuple[str, Any]]:
    """Place (``row 3``) and value of each item of a list in a JSON document.

    Args:
        file: A JSON document.
        names: The field where the list lies; without names, the document is the list.
    """
    values = field(file, "", file.json(), *names)
    if not isinstance(values, list):
        raise file.error("is not a list", field=".".join(names) or None)
    for number, value in enumerate(values, 1):
        yield f"row {number}", value


def field(file: UpstreamFile, place: str, row: Any, *names: str | int) -> Any:
    """The value at the end of a path of names (in objects) and numbers (in lists).

    Raises:
        DataError: If it is not there; names file, place and field.
    """
    value = row
    for depth, name in enumerate(names, 1):
        try:
            if not isinstance(value, list if isinstance(name, int) else Mapping):
                raise LookupError
            value = value[name]
        except LookupError:
            path = ".".join(str(part) for part in names[:depth])
            raise file.error("has no such field", place, path) from None
    return value


def text(file: UpstreamFile, place: str, row: Any, *names: str | int) -> str:
    """The same for a value that has to be a text."""
    value = field(file, place, row, *names)
    if not isinstance(value, str):
        path = ".".join(str(part) for part in names)
        raise file.error(f"is not a text but {type(value).__name__}", place, path)
    return value
