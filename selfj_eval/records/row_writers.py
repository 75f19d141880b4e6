"""Rows into an open file, bit by bit, in each of the formats."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO, Protocol

from selfj_eval.files.formulas import GUARD, GUARD_COLUMN, guarded
from selfj_eval.files.parquet_notes import write_note

CRITERION_PREFIX = "score_"
"""Begins the names of columns with the scores of a rubric's criteria."""
_BLOCK = 4096  # rows that make a row group of a Parquet file


class RowWriter(Protocol):
    """Takes rows; ``close`` ends the format, not the stream."""

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None: ...

    def close(self) -> None: ...


class _Jsonl:
    def __init__(self, stream: BinaryIO, fields: Sequence[str]) -> None:
        self._stream, self._fields = stream, fields

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self._stream.write(_json(row, self._fields) + b"\n")

    def close(self) -> None:
        pass


class _Json:
    """An array, indented by one blank."""

    def __init__(self, stream: BinaryIO, fields: Sequence[str]) -> None:
        self._stream, self._fields = stream, fields
        self._before = b"[\n"

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            text = _json(row, self._fields, indent=1)
            self._stream.write(self._before + b" " + text.replace(b"\n", b"\n "))
            self._before = b",\n"

    def close(self) -> None:
        self._stream.write(b"[]\n" if self._before == b"[\n" else b"\n]\n")


class _Csv:
    """Lists are JSON arrays."""

    def __init__(self, stream: BinaryIO, fields: Sequence[str]) -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        self._writer = csv.DictWriter(self._text, fields, extrasaction="ignore")
        self._writer.writeheader()

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            lists = {k: json.dumps(v) for k, v in row.items() if isinstance(v, list)}
            self._writer.writerow({**row, **lists})

    def close(self) -> None:
        self._text.detach()


class SafeCsv(_Csv):
    """As CSV, with texts that no spreadsheet takes for formulas (``files.formulas``)."""

    def __init__(self, stream: BinaryIO, fields: Sequence[str]) -> None:
        super().__init__(stream, [*fields, GUARD_COLUMN])

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows."""
        super().write(
            {k: guarded(v) if isinstance(v, str) else v for k, v in row.items()}
            | {GUARD_COLUMN: GUARD}
            for row in rows
        )


class ParquetWriter:
    """A schema of its own, so that a column of nothing but nulls keeps its type."""

    def __init__(self, stream: BinaryIO, fields: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {"probabilities": pa.list_(pa.float64()), "reference_used": pa.bool_()}
        types |= {"trimmed_tokens": pa.int64()}
        texts = [("role", pa.string()), ("content", pa.string())]
        types |= {"messages": pa.list_(pa.struct(texts))}
        types |= {"raters": pa.list_(pa.struct([("rater", pa.string()), ("rating", pa.float64())]))}
        numbers = (
            *("score", "digit_mass", "p_good", "rating", "rating_min", "rating_max"),
            *("preference", "a_first", "b_first", "label_mass", "inclusion"),
        )
        criteria = [name for name in fields if name.startswith(CRITERION_PREFIX)]
        types |= dict.fromkeys([*numbers, *criteria], pa.float64())
        self._schema = pa.schema([(name, types.get(name, pa.string())) for name in fields])
        self._file = pq.ParquetWriter(stream, self._schema, compression="zstd")
        self._waiting: list[Mapping[str, Any]] = []

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows; they are written a block at a time."""
        self._waiting += rows
        while len(self._waiting) >= _BLOCK:
            self._flush(self._waiting[:_BLOCK])
            del self._waiting[:_BLOCK]

    def note(self, name: str, note: dict[str, Any]) -> None:
        """Add a note to the file's own metadata."""
        write_note(self._file, name, note)

    def close(self) -> None:
        """End the file."""
        if self._waiting:
            self._flush(self._waiting)
        self._file.close()

    def _flush(self, rows: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow as pa

        columns = [
            pa.array([row.get(field.name) for row in rows], field.type) for field in self._schema
        ]
        self._file.write_table(pa.Table.from_arrays(columns, schema=self._schema))


WRITERS: dict[str, Callable[[BinaryIO, Sequence[str]], RowWriter]] = {
    ".jsonl": _Jsonl,
    ".json": _Json,
    ".csv": _Csv,
    ".parquet": ParquetWriter,
}


def _json(row: Mapping[str, Any], fields: Sequence[str], indent: int | None = None) -> bytes:
    kept = {name: row[name] for name in fields if name in row}
    return json.dumps(kept, ensure_ascii=False, indent=indent, allow_nan=False).encode()
