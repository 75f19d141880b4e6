"""JSON documents of other programs that hold rows, each with what the document says of them all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.records.formats import Rows

_HOLDERS = (
    # keys of the document, where its rows are, and what they get of the document
    (("eval", "samples"), (("samples",),), ("eval",)),  # inspect_ai
    (("results",), (("results", "results"),), ()),  # promptfoo
    (("testCases",), (("testCases",), ("conversationalTestCases",)), ()),  # DeepEval
)


def rows_in(document: Mapping[str, Any], path: Path) -> Rows | None:
    """The rows that a document holds; None if it is none that is known.

    Raises:
        DataError: While they are read, if what should hold them is no list of objects.
    """
    for keys, holders, shared in _HOLDERS:
        if all(key in document for key in keys) and _within(document, holders[0]) is not None:
            return _rows(document, holders, {name: document[name] for name in shared}, path)
    return None


def _rows(
    document: Mapping[str, Any],
    holders: tuple[tuple[str, ...], ...],
    shared: Mapping[str, Any],
    path: Path,
) -> Rows:
    for names in holders:
        values, what = _within(document, names), ".".join(names)
        if values is None:
            continue
        if not isinstance(values, list):
            message = f"expected a list, got {type(values).__name__}."
            raise DataError(message, path=path, field=what)
        for number, value in enumerate(values, 1):
            place = f"{what}, row {number}"
            if not isinstance(value, dict):
                message = f"expected an object, got {type(value).__name__}."
                raise DataError(message, path=path, place=place)
            yield place, {**shared, **value}


def _within(document: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document
