"""Read records from JSONL, JSON, CSV and Parquet, lm-eval samples and AlpacaEval outputs.

Files are checked whole before anything is judged: the first fault is one ``DataError`` that
names file, line, field and what to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, printable
from selfj_eval.files.documents import refuse_special
from selfj_eval.records.formats import Row, Rows
from selfj_eval.records.formats.parquet import parquet_rows
from selfj_eval.records.formats.spreadsheet import csv_rows
from selfj_eval.records.formats.text import json_rows, jsonl_rows
from selfj_eval.records.layouts import (
    LM_EVAL_FIELDS,
    alpaca_eval_names,
    foreign_layout,
    lm_eval_samples,
)
from selfj_eval.records.notices import Notices
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.record import RECORD_FIELDS, Record, record_from_mapping

_FORMATS = (".jsonl", ".json", ".csv", ".parquet")
_ANSWERS = ("response", "output")
_NUMBERS = ("rating", "rating_min", "rating_max", "score")
_READ = frozenset(
    {*RECORD_FIELDS, *QUESTION_FIELDS, *LM_EVAL_FIELDS, "output", "generator", "dataset", "error"}
)


def read_records(
    path: str | Path,
    *,
    names: Mapping[str, str] | None = None,
    notices: Notices | None = None,
) -> list[Record]:
    """Read and check a file of records.

    The format follows the file name: ``.jsonl``, ``.json`` (an array), ``.csv`` or
    ``.parquet``. Two layouts are recognised by their fields: lm-eval's
    ``samples_*.jsonl`` of generation tasks, and AlpacaEval's ``model_outputs`` (Alpaca's own
    ``input`` belongs to the instruction).

    Args:
        path: The file.
        names: Field of ``Record`` to the name it has in the file, where they differ, for
            example ``{"response": "output"}``.
        notices: Gets what was recognised, converted or ignored.

    Returns:
        The records, in the order of the file; at least one, with distinct ids. A record whose
        response is null has an ``error``.

    Raises:
        DataError: If the file cannot be read, or any row is not a valid record.
    """
    records, places = [], []
    for place, record in _iter_placed(Path(path), names, notices):
        records.append(record)
        places.append((record.id, place))
    refuse_repeated_ids(places, path=Path(path), field=(names or {}).get("id", "id"))
    if not records:
        raise DataError("holds no records.", path=path)
    return records


def iter_records(
    path: str | Path,
    *,
    names: Mapping[str, str] | None = None,
    notices: Notices | None = None,
) -> Iterator[Record]:
    """The records of a file one after the other, as ``read_records`` reads them; perhaps none.

    JSONL and Parquet are not held in memory. Faults are raised where they stand; repeated ids
    are not looked for.
    """
    return (record for _, record in _iter_placed(Path(path), names, notices))


def _iter_placed(
    path: Path, names: Mapping[str, str] | None, notices: Notices | None
) -> Iterator[tuple[str, Record]]:
    names, notices = dict(names or {}), notices or Notices()
    rows = iter_rows(path, fields=_READ.union(names.values()), names=names, notices=notices)
    return records_of_rows(rows, path=path, names=names, notices=notices)


def records_of_rows(
    rows: Rows,
    *,
    path: Path | None,
    names: Mapping[str, str] | None = None,
    notices: Notices | None = None,
) -> Iterator[tuple[str, Record]]:
    """Records from rows in any of the layouts, each with its place.

    Args:
        rows: The rows.
        path: The file they are from, or None; for errors.
        names, notices: As for ``read_records``.

    Raises:
        DataError: For the first row that is no record.
    """
    names, notices = dict(names or {}), notices or Notices()
    for name in names:
        if name not in RECORD_FIELDS:
            raise DataError(f"no record field {name!r}; there are: {', '.join(RECORD_FIELDS)}.")
    first = next(rows, None)
    if first is None:
        return
    rows = chain([first], rows)
    columns = first[1]
    samples = "response" not in {*names, *columns} and {"doc", "resps"} <= columns.keys()
    if samples:
        rows = lm_eval_samples(rows, path, notices)
    elif "response" not in {*names, *columns} and {"output", "instruction"} <= columns.keys():
        names = alpaca_eval_names(columns, names)
        if "id" not in {*names, *columns}:  # AlpacaEval has none: the position is the id
            rows = ((place, {"id": n, **row}) for n, (place, row) in enumerate(rows))
    known = {*(names.get(field, field) for field in RECORD_FIELDS), *QUESTION_FIELDS}
    shown = None if path is None else printable(path)
    unseen, seen = set(names.values()), set[str]()
    for place, row in rows:
        unseen -= row.keys()
        seen |= row.keys()
        try:
            yield (
                place,
                record_from_mapping(row, names=names, path=shown, place=place, notices=notices),
            )
        except DataError as error:
            # A name that no row has explains more than the field that is missing here.
            for _, later in rows:
                unseen -= later.keys()
            _refuse_unseen(unseen, names, columns, path)
            layout = foreign_layout(columns)
            if layout is not None and not {"instruction", "response"} <= columns.keys():
                raise DataError(
                    f"looks like {layout}; this layout is not read. Make rows with the fields id, "
                    "instruction and response.",
                    path=path,
                    place=place,
                ) from error
            raise
    _refuse_unseen(unseen, names, columns, path)
    if not samples:
        notices.ignore(name for name in columns if name in seen - known)
        notices.ignore(sorted(seen - known - columns.keys()))


def _refuse_unseen(
    unseen: set[str], names: Mapping[str, str], columns: Mapping[str, Any], path: Path | None
) -> None:
    for field, name in names.items():
        if name in unseen:
            have = ", ".join(map(str, columns))
            message = f"no row has a field {name!r}, which is to hold {field!r}; there are: {have}."
            raise DataError(message, path=path)


def read_rows(path: str | Path, *, fields: Collection[str] | None = None) -> list[Row]:
    """The rows of a file in any of the formats, each with its place; fields are not checked.

    Args:
        path: The file.
        fields: As for ``iter_rows``.

    Raises:
        DataError: If the file cannot be read.
    """
    return list(iter_rows(path, fields=fields))


def iter_rows(
    path: str | Path,
    *,
    fields: Collection[str] | None = None,
    names: Mapping[str, str] | None = None,
    notices: Notices | None = None,
) -> Rows:
    """The rows of a file one after the other; JSONL and Parquet are not held in memory.

    Args:
        path: The file.
        fields: Columns that are needed, by default all. In Parquet the others are None, unread.
        names: As for ``read_records``: what the response and the numbers are called in CSV.
        notices: Gets what was recognised.

    Raises:
        DataError: If the file cannot be read.
    """
    path, names = Path(path), names or {}
    ending = path.suffix.lower()
    if ending not in _FORMATS:
        if not path.exists():
            raise DataError("there is no such file or folder.", path=path)
        raise DataError(
            f"cannot tell the format from the name; use one of {', '.join(_FORMATS)}.", path=path
        )
    try:
        refuse_special(path)
        if ending == ".parquet":
            yield from parquet_rows(path, fields)
        elif ending == ".csv":
            answers = [names["response"]] if "response" in names else _ANSWERS
            numbers = {names.get(name, name) for name in _NUMBERS}
            yield from csv_rows(path, notices or Notices(), answers=answers, numbers=numbers)
        else:
            yield from (jsonl_rows if ending == ".jsonl" else json_rows)(path)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}.", path=path) from error


def refuse_repeated_ids(
    ids: list[tuple[str, str]], *, path: Path | None, field: str = "id"
) -> None:
    """Raise a ``DataError`` for the first id that occurs twice; ``ids`` come with their place."""
    seen: dict[str, str] = {}
    for name, place in ids:
        if name in seen:
            message = f"{name!r} occurs twice, first in {seen[name]}; ids must be unique."
            raise DataError(message, path=path, place=place, field=field)
        seen[name] = place
