"""From a row of a source to its instructions, in their original wording.

Nothing is trimmed, unescaped or replaced; HTML that a data set has in a body stays. A title and
a body are joined by a blank line. A field without text gives no instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from selfj_eval.collection.categories import PARTS
from selfj_eval.collection.source_rows import SourceRow
from selfj_eval.collection.sources import Source
from selfj_eval.errors import DataError

Converter = Callable[[SourceRow], list[str]]


def instructions(source: Source, place: str, values: Mapping[str, Any]) -> list[str]:
    """The instructions of a row that belong to the source.

    Args:
        source: The source; its fields are what the row must have.
        place: Of the row, for errors.
        values: The row.

    Returns:
        Its instructions; none if the row holds none, or all are of another part of the data set.

    Raises:
        DataError: If the row lacks a field of the source, or one holds another type than
            expected: the data set's schema has changed. Or if the source names a converter or
            part that is not there.
    """
    row = SourceRow(source, place, values)
    convert = _named(CONVERTERS, source.converter, source, "converter")
    for name in source.fields:
        row.require(name)
    found = [text for text in convert(row) if text.strip()]
    if source.part is None:
        return found
    belongs = _named(PARTS, source.part, source, "part")
    return [text for text in found if belongs(row, text)]


def single(row: SourceRow) -> list[str]:
    """The first field."""
    return [row.text(row.source.fields[0])]


def each(row: SourceRow) -> list[str]:
    """Every field, an instruction each."""
    return [row.text(name) for name in row.source.fields]


def title_and_body(row: SourceRow) -> list[str]:
    """The first two fields, a blank line between them; one alone where the other is empty."""
    title, body = (row.text(name) for name in row.source.fields[:2])
    return ["\n\n".join(text for text in (title, body) if text.strip())]


def first_of_set(row: SourceRow) -> list[str]:
    """The first text of a list: a question before its answer, or before its other wordings."""
    return row.texts(row.source.fields[0])[:1]


def patient_turn(row: SourceRow) -> list[str]:
    """What a patient says before the doctor does; nothing where the doctor begins.

    The dialogue is one text, its turns marked ``Patient:`` and ``Doctor:``.
    """
    before, mark, rest = row.text(row.source.fields[0]).partition("Patient:")
    if before.strip() or not mark:
        return []
    return [rest.partition("Doctor:")[0].strip()]


CONVERTERS: dict[str, Converter] = {
    convert.__name__: convert
    for convert in (single, each, title_and_body, first_of_set, patient_turn)
}


def _named(known: Mapping[str, Any], name: str, source: Source, field: str) -> Any:
    if name not in known:
        message = f"there is no {name!r}; there are: {', '.join(known)}."
        raise DataError(message, path=source.name, field=field)
    return known[name]
