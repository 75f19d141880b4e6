"""Write records and judgments: whole files or nothing."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from selfj_eval.errors import StoreError
from selfj_eval.records import Judgment, Record

FORMATS = (".jsonl", ".json", ".csv", ".parquet")
_FROM_RECORD = (
    *("rating", "rating_min", "rating_max", "model", "category"),
    *("instruction", "response", "reference"),
)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when it is complete.

    Raises:
        StoreError: If it cannot be written; what stood under the name before is unchanged.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        if error.errno == errno.ENOSPC:
            raise StoreError(
                f"{path}: the disk is full, nothing was written. Free space and run it again."
            ) from error
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from error


def check_output(
    path: str | Path,
    *,
    formats: Sequence[str] = FORMATS,
    inputs: Sequence[str | Path | None] = (),
) -> Path:
    """Refuse an output that could not be written, before any work is done.

    Args:
        path: The output.
        formats: Endings that its name may have.
        inputs: Files that are read, with their run files, and must not be written over.

    Raises:
        StoreError: If the ending is unknown, the folder does not exist, or it is an input.
    """
    path = Path(path)
    if path.suffix.lower() not in formats:
        raise StoreError(f"{path}: unknown format; end the name in one of {', '.join(formats)}.")
    read = {Path(file) for file in inputs if file is not None}
    if path.resolve() in {file.resolve() for file in (*read, *map(run_file, read))}:
        raise StoreError(f"{path} is an input and would be overwritten; name another file.")
    if not path.parent.is_dir():
        raise StoreError(f"{path}: there is no folder {path.parent}; make it first.")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise StoreError(f"{path} cannot be written; name another --output.")
    return path


def write_records(path: str | Path, records: Sequence[Record]) -> None:
    """Write records in the format of the file's name, readable by ``read_records``."""
    rows = [{k: v for k, v in asdict(r).items() if k != "where"} for r in records]
    write_rows(path, rows)


def write_judgments(
    path: str | Path, records: Sequence[Record], judgments: Sequence[Judgment]
) -> None:
    """Write judgments in the format of the file's name, one row a record, in their order.

    A row holds ``id, score, digit_mass, probabilities, error, reference_used,
    trimmed_tokens`` and the record's ``rating, rating_min, rating_max, model, category,
    instruction, response, reference`` where any record has them. In CSV, ``probabilities`` is
    a JSON array.

    Raises:
        StoreError: If the file cannot be written; then nothing is.
    """
    kept = [f for f in _FROM_RECORD if any(getattr(r, f) is not None for r in records)]
    rows = []
    for record, judgment in zip(records, judgments, strict=True):
        row = asdict(judgment)
        row["probabilities"] = None if row["probabilities"] is None else list(row["probabilities"])
        rows.append(row | {field: getattr(record, field) for field in kept})
    write_rows(path, rows)


def run_file(scores: str | Path) -> Path:
    """Where it stands how a scores file was made: beside it, its name with ``.run.json``."""
    return Path(f"{scores}.run.json")


def write_json(path: str | Path, value: object) -> None:
    """Write one JSON document, strict (no NaN), indented."""
    with atomic_write(path) as stream:
        text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
        stream.write(text.encode() + b"\n")


def write_rows(path: str | Path, rows: list[dict[str, Any]]) -> None:
    """Write rows of the same fields in the format of the file's name.

    Raises:
        StoreError: If the file cannot be written; then nothing is.
    """
    path = check_output(path)
    with atomic_write(path) as stream:
        match path.suffix.lower():
            case ".parquet":
                import pyarrow as pa
                import pyarrow.parquet as pq

                # A schema of its own, so that a column of nothing but nulls keeps its type.
                table = pa.Table.from_pylist(rows, _parquet_schema(rows))
                pq.write_table(table, stream, compression="zstd")
            case ".csv":
                text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
                writer = csv.DictWriter(text, list(rows[0]) if rows else [])
                writer.writeheader()
                for row in rows:
                    lists = {k: json.dumps(v) for k, v in row.items() if isinstance(v, list)}
                    writer.writerow(row | lists)
                text.detach()
            case ".json":
                array = json.dumps(rows, ensure_ascii=False, indent=1, allow_nan=False)
                stream.write(array.encode() + b"\n")
            case _:
                for row in rows:
                    line = json.dumps(row, ensure_ascii=False, allow_nan=False)
                    stream.write(line.encode() + b"\n")


def _parquet_schema(rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    types = {"probabilities": pa.list_(pa.float64()), "reference_used": pa.bool_()}
    types |= {"trimmed_tokens": pa.int64()}
    numbers = ("score", "digit_mass", "p_good", "rating", "rating_min", "rating_max")
    types |= dict.fromkeys(numbers, pa.float64())
    return pa.schema([(name, types.get(name, pa.string())) for name in (rows[0] if rows else ())])
