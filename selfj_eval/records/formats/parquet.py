"""Parquet: only the columns that are asked for, expanded a few rows at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, brief
from selfj_eval.records.formats import Rows

# Rows that are expanded at a time: few, because one text in the file may stand in all of them; and
# fewer, where those of the file take more bytes.
_ROWS = 128
_BYTES = 1 << 25
_TURNS = ({"role", "content"}, {"from", "value"})  # fields of a message


def parquet_rows(path: Path, fields: Collection[str] | None = None, *, fill: bool = True) -> Rows:
    """The rows of a file.

    Decimals are numbers; times, dates and bytes are text. Chats that ``datasets`` has stored as a
    struct of lists (roles, contents) are lists of messages.

    Args:
        path: The file.
        fields: The columns to read, by default all: an unused column may be wide, or hold what
            Python has no value for.
        fill: Put the columns that are not read into every row, as None.

    Raises:
        DataError: If the file is not readable.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not the whole column of a row group at once.
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            names = file.schema_arrow.names
            _refuse_doubles(names, path)
            wanted = [name for name in names if fields is None or name in fields]
            chats = [name for name in wanted if _is_chat_of_lists(file.schema_arrow.field(name))]
            nothing = dict.fromkeys(names) if fill else {}
            number = 0
            for batch in _batches(file, wanted):
                for row in (
                    _plain(batch, path, number).to_pylist() if wanted else [{}] * batch.num_rows
                ):
                    number += 1
                    for name in chats:
                        row[name] = _messages(row[name], path, f"row {number}", name)
                    yield f"row {number}", {**nothing, **row} if len(row) < len(nothing) else row
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
        raise DataError(
            f"is not a readable Parquet file: {brief(error).rstrip('.')}.", path=path
        ) from error


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
    chat: dict[str, list[Any] | None] | None, path: Path, place: str, field: str
) -> list[dict[str, Any]] | None:
    if chat is None:
        return None
    lists = {name: values for name, values in chat.items() if values is not None}
    if len({len(values) for values in lists.values()}) > 1:
        lengths = ", ".join(f"{len(values)} of {name!r}" for name, values in lists.items())
        message = f"is a chat whose lists differ in length: {lengths}."
        raise DataError(message, path=path, place=place, field=field)
    return [dict(zip(lists, turn, strict=True)) for turn in zip(*lists.values(), strict=True)]


def _batches(file: Any, wanted: list[str]) -> Iterator[Any]:
    """Record batches that memory can hold, whatever the length of their texts."""
    for group in range(file.num_row_groups):
        meta = file.metadata.row_group(group)
        columns = (meta.column(k) for k in range(meta.num_columns))
        size = sum(
            column.total_uncompressed_size
            for column in columns
            if column.path_in_schema.partition(".")[0] in wanted
        )
        rows = max(1, min(_ROWS, _BYTES * meta.num_rows // max(size, 1)))
        yield from file.iter_batches(batch_size=rows, row_groups=[group], columns=wanted)


def _plain(batch: Any, path: Path, before: int) -> Any:
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


def _refuse_doubles(columns: list[str], path: Path) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"has two columns {twice[0]!r}; which one is meant?", path=path)
