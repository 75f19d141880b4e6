"""Parquet: only the columns that are asked for, expanded a few megabytes at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, brief
from selfj_eval.formats import Rows

_ROWS = 4096
_BYTES = 1 << 25  # of the rows that are expanded at a time


def read_parquet(path: Path, fields: Collection[str] | None = None) -> Rows:
    """The rows of a file.

    Decimals are numbers; times, dates and bytes are text.

    Args:
        path: The file.
        fields: The columns to read, by default all. Others are None in every row: an unused
            column may be wide, or hold what Python has no value for.

    Raises:
        DataError: If the file is not readable.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not the whole column of a row group at once.
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            schema = file.schema_arrow
        _refuse_doubles(schema.names, path)
        wanted = [name for name in schema.names if fields is None or name in fields]
        nothing = dict.fromkeys(schema.names)
        # A text that stands in many rows is decoded once.
        texts = [name for name in wanted if _is_text(schema.field(name).type)]
        with pq.ParquetFile(
            path, buffer_size=1 << 20, pre_buffer=False, read_dictionary=texts
        ) as file:
            number = 0
            for batch in _batches(file, wanted):
                if not wanted:
                    for _ in range(batch.num_rows):
                        number += 1
                        yield f"row {number}", nothing
                    continue
                for part in _parts(batch):
                    for row in _plain(part, path, number).to_pylist():
                        number += 1
                        yield (
                            f"row {number}",
                            {**nothing, **row} if len(row) < len(nothing) else row,
                        )
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
        raise DataError(
            f"is not a readable Parquet file: {brief(error).rstrip('.')}.", path=path
        ) from error


def _batches(file: Any, wanted: list[str]) -> Iterator[Any]:
    """Record batches whose columns take about ``_BYTES`` in the file's own encoding."""
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


def _parts(batch: Any) -> Iterator[Any]:
    """Slices of a batch whose texts take about ``_BYTES`` once they are expanded."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(column.dictionary).take(column.indices)
            sizes += lengths.fill_null(0).to_numpy(zero_copy_only=False)
        else:
            sizes += column.nbytes // max(batch.num_rows, 1)
    part = np.cumsum(sizes) // _BYTES
    starts = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), batch.num_rows]
    for start, end in pairwise(starts):
        if end > start:
            yield batch.slice(start, end - start)


def _plain(batch: Any, path: Path, before: int) -> Any:
    """The batch with columns whose values Python has."""
    import pyarrow as pa

    columns = []
    for column, name in zip(batch.columns, batch.schema.names, strict=True):
        target = _cast_to(column.type)
        try:
            if target is not None:
                column = column.cast(target)
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


def _valid(column: Any, target: Any) -> bool:
    import pyarrow as pa

    try:
        (column if target is None else column.cast(target)).validate(full=True)
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
        whole = kind.scale == 0
        return (
            pa.string() if whole and kind.precision > 18 else pa.int64() if whole else pa.float64()
        )
    if types.is_float16(kind):
        return pa.float64()
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return pa.large_string()
    return pa.string() if types.is_temporal(kind) or types.is_string_view(kind) else None


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _refuse_doubles(columns: list[str], path: Path) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"has two columns {twice[0]!r}; which one is meant?", path=path)
