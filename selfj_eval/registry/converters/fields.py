"""Values of upstream's rows, and the error where the layout is another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, overload

from selfj_eval.registry.upstream import UpstreamFile

T = TypeVar("T")
Kinds = tuple[type[Any], ...]


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


def items(file: UpstreamFile, values: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place (``item 3``, from 1) and object of each member of a list of objects."""
    if not isinstance(values, list):
        raise file.error(f"expected a list, got {type(values).__name__}")
    for number, row in enumerate(values, 1):
        if not isinstance(row, dict):
            raise file.error("expected an object", f"item {number}")
        yield f"item {number}", row


@overload
def field(file: UpstreamFile, place: str, row: Any, name: str, kind: type[T], /) -> T: ...
@overload
def field(file: UpstreamFile, place: str, row: Any, name: str, kinds: Kinds, /) -> Any: ...
@overload
def field(
    file: UpstreamFile, place: str, row: Any, /, *names: str | int | type[Any] | Kinds
) -> Any: ...
def field(
    file: UpstreamFile, place: str, row: Any, /, *names: str | int | type[Any] | Kinds
) -> Any:
    """The value at the end of a path of names (in objects) and numbers (in lists).

    A type, or several, after the path is what the value must be of.

    Raises:
        DataError: If it is not there, or is of another type; names file, place and field.
    """
    path = [name for name in names if isinstance(name, str | int)]
    value: Any = row
    for depth, name in enumerate(path, 1):
        try:
            if not isinstance(value, list if isinstance(name, int) else Mapping):
                raise LookupError
            value = value[name]  # type: ignore[index]
        except LookupError:
            place_in_row = ".".join(map(str, path[:depth]))
            raise file.error("is missing (no such field)", place, place_in_row) from None
    for kinds in names[len(path) :]:
        allowed = kinds if isinstance(kinds, tuple) else (kinds,)
        if not isinstance(value, allowed):  # type: ignore[arg-type]
            expected = " or ".join(each.__name__ for each in allowed)  # type: ignore[union-attr]
            message = f"expected {expected}, got {type(value).__name__}"
            raise file.error(message, place, ".".join(map(str, path)))
    return value


def text(file: UpstreamFile, place: str, row: Any, *names: str | int) -> str:
    """The same for a value that has to be a text."""
    value = field(file, place, row, *names)
    if not isinstance(value, str):
        path = ".".join(str(part) for part in names)
        raise file.error(f"is not a text but {type(value).__name__}", place, path)
    return value
