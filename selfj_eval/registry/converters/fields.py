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
    values = field(file, "", file.json(), *names, list)
    for number, value in enumerate(values, 1):
        yield f"row {number}", value


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
        expected, noun = (list, "a list") if isinstance(name, int) else (Mapping, "an object")
        if not isinstance(value, expected):
            where = ".".join(map(str, path[: depth - 1])) or None
            raise file.error(f"expected {noun}, got {type(value).__name__}", place, where)
        try:
            value = value[name]  # type: ignore[index]
        except LookupError:
            where = ".".join(map(str, path[:depth]))
            raise file.error("is missing (no such field)", place, where) from None
    for kinds in names[len(path) :]:
        allowed = kinds if isinstance(kinds, tuple) else (kinds,)
        flag = isinstance(value, bool) and bool not in allowed  # true is no number
        if flag or not isinstance(value, allowed):  # type: ignore[arg-type]
            names_of = " or ".join(each.__name__ for each in allowed)  # type: ignore[union-attr]
            message = f"expected {names_of}, got {type(value).__name__}"
            raise file.error(message, place, ".".join(map(str, path)))
    return value


def choice(file: UpstreamFile, place: str, row: Any, name: str, known: Mapping[Any, T], /) -> T:
    """What a field's value, a text or a number, stands for.

    Args:
        file: Of the row.
        place: Of the row.
        row: The row.
        name: The field.
        known: Each value that it can have, and what that stands for.

    Raises:
        DataError: If it is not there, or has another value.
    """
    value = field(file, place, row, name)
    if not isinstance(value, str | int) or value not in known:
        *others, last = known
        expected = f"{', '.join(map(str, others))} or {last}"
        raise file.error(f"expected {expected}, got {value!r}", place, name)
    return known[value]


def pair_rows(
    file: UpstreamFile, columns: Mapping[str, str], labels: Mapping[Any, str]
) -> Iterator[dict[str, Any]]:
    """Pairs of a file that has one per line, with the label in ``label``.

    Args:
        file: The file.
        columns: What our fields are called there.
        labels: Our label for each of theirs.
    """
    for place, row in file.jsonl():
        values = {name: field(file, place, row, column) for name, column in columns.items()}
        yield values | {"label": choice(file, place, row, "label", labels)}
