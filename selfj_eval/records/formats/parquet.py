"""Parquet: only the columns that are asked for, expanded a few rows at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, brief
from selfj_eval.records.formats import Rows
from selfj_eval.records.formats.arrow import arrow_rows

# Rows that are expanded at a time: few, because one text in the file may stand in all of them; and
# fewer, where those of the file take more bytes.
_ROWS = 128
_BYTES = 1 << 25


def parquet_rows(path: Path, fields: Collection[str] | None = None, *, fill: bool = True) -> Rows:
    """The rows of a file, with values as ``arrow_rows`` has them.

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
            nothing = dict.fromkeys(names) if fill else {}
            for place, row in arrow_rows(_batches(file, wanted), path):
                yield place, {**nothing, **row} if len(row) < len(nothing) else row
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
        raise DataError(
            f"is not a readable Parquet file: {brief(error).rstrip('.')}.", path=path
        ) from error


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


def _refuse_doubles(columns: list[str], path: Path) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"has two columns {twice[0]!r}; which one is meant?", path=path)
