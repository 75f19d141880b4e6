"""Rows of Arrow's record batches, which Parquet files and data sets hold, with Python's values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, brief
from selfj_eval.records.formats import Rows

_TURNS = ({"role", "content"}, {"from", "value"})  # fields of a message


def arrow_rows(batches: Iterable[Any], path: str | Path) -> Rows:
    """The rows of record batches, each with its place.

    Decimals are numbers; times, dates and bytes are text. Chats that ``datasets`` has stored as a
    struct of lists (roles, contents) are lists of messages.

    Args:
        batches: The ``pyarrow.RecordBatch``es, all with the same columns.
        path: Where they are from, for errors.

    Raises:
        DataError: If a value is neither a text nor a number nor made of these.
    """
    number = 0
    for batch in batches:
        chats = [field.name for field in batch.schema if _is_chat_of_lists(field)]
        rows = _plain(batch, path, number).to_pylist() if batch.num_columns else None
        for row in rows if rows is not None else [{}] * batch.num_rows:
            number += 1
            for name in chats:
                row[name] = _messages(row[name], path, f"row {number}", name)
            yield f"row {number}", row


def _is_chat_of_lists(field: Any) -> bool:
    """Whether a column is a struct of lists, as ``datasets`` stores a list of structs."""
    import pyarrow as pa

    types = pa.types
    if not types.is_struct(field.type):
        return False
    inner = {
        field.type.field(k).name: field.type.field(k).type for k in range(field.type.num_fields)
    }
    return any(turn <= inner.keys() for turn in _TURNS) and all(
        types.is_list(kind) or types.is_large_list(kind) for kind in inner.values()
    )


def _messages(
    chat: dict[str, list[Any] | None] | None, path: str | Path, place: str, field: str
) -> list[dict[str, Any]] | None:
    if chat is None:
        return None
    lists = {name: values for name, values in chat.items() if values is not None}
    if len({len(values) for values in lists.values()}) > 1:
        lengths = ", ".join(f"{len(values)} of {name!r}" for name, values in lists.items())
        message = f"is a chat whose lists differ in length: {lengths}."
        raise DataError(message, path=path, place=place, field=field)
    return [dict(zip(lists, turn, strict=True)) for turn in zip(*lists.values(), strict=True)]


def _plain(batch: Any, path: str | Path, before: int) -> Any:
    """The batch with columns whose values Python has."""
    import pyarrow as pa

    columns = []
    for column, name in zip(batch.columns, batch.schema.names, strict=True):
        target = _cast_to(column.type)
        try:
            if target is not None:
                column = _cast(column, target)
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                column.validate(full=True)
        except pa.ArrowException as error:
            row = next(k for k in range(len(column)) if not _valid(column.slice(k, 1), target))
            raise DataError(
                f"expected text or numbers: {brief(error).rstrip('.')}.",
                path=path,
                place=f"row {before + row + 1}",
                field=name,
            ) from error
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _cast(column: Any, target: Any) -> Any:
    import pyarrow as pa

    try:
        return column.cast(target)
    except pa.ArrowException:
        if not pa.types.is_integer(target):
            raise
        return column.cast(pa.string())  # an id may have more digits than a number


def _valid(column: Any, target: Any) -> bool:
    import pyarrow as pa

    try:
        (column if target is None else _cast(column, target)).validate(full=True)
    except pa.ArrowException:
        return False
    return True


def _cast_to(kind: Any) -> Any:
    """The type that a column is read as, or None for its own."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _cast_to(kind.value_type) or kind.value_type
    if types.is_decimal(kind):
        return pa.float64() if kind.scale else pa.int64()
    if types.is_float16(kind):
        return pa.float64()
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return pa.large_string()
    return pa.string() if types.is_temporal(kind) or types.is_string_view(kind) else None
