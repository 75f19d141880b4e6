"""Read records from JSONL, JSON, CSV and Parquet, lm-eval samples and AlpacaEval outputs.

Files are checked whole before anything is judged: the first fault is one ``DataError`` that
names file, line, field and what to do.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, brief, printable
from selfj_eval.layouts import Row, alpaca_eval_outputs, lm_eval_samples
from selfj_eval.records import RECORD_FIELDS, Record, record_from_mapping


def read_records(path: str | Path, *, names: Mapping[str, str] | None = None) -> list[Record]:
    """Read and check a file of records.

    The format follows the file name: ``.jsonl``, ``.json`` (an array), ``.csv`` or
    ``.parquet``. Two layouts are recognised by their fields: lm-eval's
    ``samples_*.jsonl`` of generation tasks, and AlpacaEval's ``model_outputs`` JSON.

    Args:
        path: The file.
        names: Field of ``Record`` to the name it has in the file, where they differ, for
            example ``{"response": "output"}``.

    Returns:
        The records, in the order of the file; at least one, with distinct ids.

    Raises:
        DataError: If the file cannot be read, or any row is not a valid record.
    """
    records, places = [], []
    for place, record in _iter_placed(Path(path), names):
        records.append(record)
        places.append((record.id, place))
    refuse_repeated_ids(places, path=Path(path), field=(names or {}).get("id", "id"))
    return records


def iter_records(path: str | Path, *, names: Mapping[str, str] | None = None) -> Iterator[Record]:
    """The records of a file one after the other, as ``read_records`` reads them.

    JSONL and Parquet are not held in memory. Faults are raised where they stand; repeated ids
    are not looked for.
    """
    return (record for _, record in _iter_placed(Path(path), names))


def _iter_placed(path: Path, names: Mapping[str, str] | None) -> Iterator[tuple[str, Record]]:
    names = dict(names or {})
    for name in names:
        if name not in RECORD_FIELDS:
            raise DataError(f"no record field {name!r}; there are: {', '.join(RECORD_FIELDS)}.")
    rows = iter_rows(path)
    first = next(rows, None)
    if first is None:
        raise DataError("holds no records.", path=path)
    rows = chain([first], rows)
    columns = first[1]
    if "response" not in {*names, *columns}:
        if "doc" in columns and "resps" in columns:
            rows = lm_eval_samples(rows, path)
        elif "output" in columns and "instruction" in columns and path.suffix.lower() == ".json":
            rows, names = alpaca_eval_outputs(rows, columns, names)
    shown, unseen = printable(path), set(names.values())
    for place, row in rows:
        unseen -= row.keys()
        try:
            yield place, record_from_mapping(row, names=names, path=shown, place=place)
        except DataError:
            # A name that no row has explains more than the field that is missing here.
            for _, later in rows:
                unseen -= later.keys()
            _refuse_unseen(unseen, names, columns, path)
            raise
    _refuse_unseen(unseen, names, columns, path)


def _refuse_unseen(
    unseen: set[str], names: Mapping[str, str], columns: Mapping[str, Any], path: Path
) -> None:
    for field, name in names.items():
        if name in unseen:
            have = ", ".join(map(str, columns))
            message = f"no row has a field {name!r}, which is to hold {field!r}; there are: {have}."
            raise DataError(message, path=path)


def read_rows(path: str | Path) -> list[Row]:
    """The rows of a file in any of the formats, each with its place; fields are not checked.

    Raises:
        DataError: If the file cannot be read.
    """
    return list(iter_rows(path))


def iter_rows(path: str | Path) -> Iterator[Row]:
    """The rows of a file one after the other; JSONL and Parquet are not held in memory.

    Raises:
        DataError: If the file cannot be read.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None and not path.exists():
        raise DataError("there is no such file or folder.", path=path)
    if reader is None:
        raise DataError(
            f"cannot tell the format from the name; use one of {', '.join(_READERS)}.", path=path
        )
    try:
        yield from reader(path)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}.", path=path) from error


def refuse_repeated_ids(ids: list[tuple[str, str]], *, path: Path, field: str = "id") -> None:
    """Raise a ``DataError`` for the first id that occurs twice; ``ids`` come with their place."""
    seen: dict[str, str] = {}
    for name, place in ids:
        if name in seen:
            message = f"{name!r} occurs twice, first in {seen[name]}; ids must be unique."
            raise DataError(message, path=path, place=place, field=field)
        seen[name] = place


def _decode(data: bytes, path: Path, first_line: int = 1) -> str:
    try:
        return data.decode("utf-8-sig" if first_line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        kinds = {b"\x1f\x8b": "; it is gzip: unpack it", b"PK": "; it is a ZIP archive: unpack it"}
        kinds |= dict.fromkeys((b"\xff\xfe", b"\xfe\xff"), "; it is UTF-16")
        kind = kinds.get(data[:2], "") if first_line == 1 else ""
        raise DataError(
            f"byte 0x{data[error.start]:02x} is not UTF-8{kind}; save the file as UTF-8.",
            path=path,
            place=f"line {line}",
        ) from error


def _loads(text: str, path: Path, first_line: int = 1) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise DataError(
            f"broken JSON at column {error.colno}: {error.msg}.",
            path=path,
            place=f"line {first_line + error.lineno - 1}",
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"broken JSON: {error}.", path=path, place=f"line {first_line}") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return found


def _object(value: Any, path: Path, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(
            f"expected a JSON object, got {type(value).__name__}.", path=path, place=place
        )
    return value


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                value = _loads(_decode(line.rstrip(b"\r\n"), path, number), path, number)
                yield f"line {number}", _object(value, path, f"line {number}")


def _is_jsonl(text: str) -> bool:
    """Whether the first line is an object by itself."""
    try:
        return isinstance(json.loads(text.splitlines()[0]), dict)
    except ValueError:
        return False


def _read_json(path: Path) -> Iterator[Row]:
    text = _decode(path.read_bytes(), path)
    if not text.strip():
        raise DataError("is empty.", path=path)
    try:
        value = _loads(text, path)
    except DataError as error:
        if _is_jsonl(text):
            message = "holds one object a line, which is JSONL; name it .jsonl."
            raise DataError(message, path=path) from error
        raise
    if not isinstance(value, list):
        raise DataError(
            f"expected a JSON array of objects, got {type(value).__name__}; one object a line "
            "is JSONL, name that .jsonl.",
            path=path,
        )
    for number, item in enumerate(value, 1):
        yield f"row {number}", _object(item, path, f"row {number}")


def _read_csv(path: Path) -> Iterator[Row]:
    text = io.StringIO(_decode(path.read_bytes(), path), newline="")
    csv.field_size_limit(2**31 - 1)
    reader = csv.DictReader(text, strict=True)
    try:
        header = list(reader.fieldnames or ())
        _refuse_doubles(header, path)
        if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
            raise DataError("has one column; separate the cells with commas.", path=path)
        for row in reader:
            place = f"line {reader.line_num}"
            if None in row:
                raise DataError("has more cells than the header.", path=path, place=place)
            # A table has no null and no numbers: an empty cell is a missing value, but for the
            # response, which may be empty.
            values: dict[str, Any] = {
                k: v for k, v in row.items() if v is not None and (v != "" or k == "response")
            }
            for name in ("rating", "rating_min", "rating_max", "score"):
                if name in values:
                    try:
                        values[name] = float(values[name])
                    except ValueError:
                        message = f"expected a number, got {values[name]!r}."
                        raise DataError(message, path=path, place=place, field=name) from None
            yield place, values
    except csv.Error as error:
        raise DataError(
            f"broken CSV: {error}.", path=path, place=f"line {reader.reader.line_num}"
        ) from error


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not the whole column of a row group at once.
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            _refuse_doubles(file.schema_arrow.names, path)
            number = 0
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
        raise DataError(
            f"is not a readable Parquet file: {brief(error).rstrip('.')}.", path=path
        ) from error


def _refuse_doubles(columns: list[str], path: Path) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"has two columns {twice[0]!r}; which one is meant?", path=path)


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
