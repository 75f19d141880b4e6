"""What columns are called: familiar names of our fields, likely ones, and fields within fields."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.records.formats import Rows

FAMILIAR = {
    "instruction": ("prompt", "question", "input"),
    "response": ("answer", "output", "completion"),
}
"""Names that are taken for a field that is not there, if only one of them is."""
_LIKELY = {
    "instruction": (*FAMILIAR["instruction"], "query", "request", "task", "user"),
    "response": (*FAMILIAR["response"], "reply", "generation", "prediction", "assistant"),
    "id": ("key", "index", "uuid", "uid"),
    "rating": ("score", "label", "grade", "stars"),
}


def familiar_names(columns: Collection[str], names: Mapping[str, str]) -> dict[str, str]:
    """What fields that are not there are called by a familiar name.

    Args:
        columns: The fields of the first row.
        names: As the user says.

    Returns:
        Field of ``Record`` to its name in the file.

    Raises:
        DataError: If there are two such names.
    """
    taken = set(names.values())
    found = dict[str, str]()
    for field, known in FAMILIAR.items():
        if field in names or field in columns:
            continue
        there = [name for name in known if name in columns and name not in taken]
        if len(there) > 1:
            both = " or ".join(map(repr, there))
            raise DataError(
                f"the {field} may be {both}; say which, such as `fields` {field}={there[0]}."
            )
        if there:
            found[field] = there[0]
    return found


def likely_names(fields: Iterable[str], columns: Iterable[str]) -> dict[str, str]:
    """For each of these fields the first column that looks like it, where there is one."""
    found, left = dict[str, str](), list(columns)
    for field in fields:
        words = (field, *_LIKELY.get(field, ()))
        for name in left:
            parts = re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", str(name))
            if any(word in (part.lower() for part in parts) for word in words):
                found[field] = name
                left.remove(name)
                break
    return found


def on_missing(missing: Sequence[str], columns: Iterable[object], can_name: bool) -> str:
    """What to say of required fields that are not there.

    Args:
        missing: The fields; at least one.
        columns: The fields that are there.
        can_name: Whether the caller has an option that says what fields are called.
    """
    there = list(map(str, columns))
    *others, last = missing
    what = f"{', '.join(others)} and {last} are missing" if others else "missing"
    found = likely_names(missing, there) if can_name else {}
    advice = [f"{name} looks like {f}: `fields` {f}={name}." for f, name in found.items()]
    if left := [field for field in missing if field not in found]:
        it = "it" if len(missing) == 1 else " and ".join(left)
        options = " ".join(f"`fields` {field}=NAME" for field in left)
        named = f", or name the field that holds it with {options}"
        if not can_name:
            named = f", or rename the column that holds it to `{left[0]}`"
            if len(left) > 1:
                named = ", or rename the columns that hold them"
        advice.append(f"Add {it}{named}.")
    return f"{what}; the fields here are: {', '.join(there) or 'none'}. {' '.join(advice)}"


def column_of(name: str) -> str:
    """The column that holds a field within a field: ``meta`` of ``meta.ratings``."""
    return name.partition(".")[0]


def with_inner_fields(rows: Rows, names: Sequence[str]) -> Rows:
    """The rows with fields within fields beside the others, under their dotted names.

    Args:
        rows: The rows.
        names: The dotted names; a column that is called so itself goes before.
    """
    for place, row in rows:
        inner = {name: _within(row, name) for name in names if name not in row}
        yield place, {**row, **{name: value[0] for name, value in inner.items() if value}}


def _within(row: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    """The value of a dotted name; nothing where there is no such field."""
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return ()
        value = value[part]
    return (value,)
