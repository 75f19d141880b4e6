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
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Row, Rows
from selfj_eval.records.formats.inspect_log import inspect_rows
from selfj_eval.records.formats.opening import COMPRESSED, PACKED, READABLE, TABLES, ending_of
from selfj_eval.records.formats.parquet import parquet_rows
from selfj_eval.records.formats.spreadsheet import csv_rows
from selfj_eval.records.formats.text import json_rows, jsonl_rows
from selfj_eval.records.hub import local_file
from selfj_eval.records.layouts import columns_of, layout_rows, recognised
from selfj_eval.records.layouts.alpaca import alpaca_eval_names
from selfj_eval.records.names import FAMILIAR, column_of, familiar_names, with_inner_fields
from selfj_eval.records.notices import Notices, on_nothing
from selfj_eval.records.options import LAST, ReadOptions
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.ratings import RATINGS, with_rating
from selfj_eval.records.record import RECORD_FIELDS, Record, record_from_mapping

_WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
_ANSWERS = ("response", "output", "answer", "completion")
_NUMBERS = ("rating", "rating_min", "rating_max", "score", "inclusion")
_READ = frozenset(
    {*RECORD_FIELDS, *QUESTION_FIELDS, RATINGS, "output", "generator", "dataset", "error"}
).union(*FAMILIAR.values())


def read_records(
    path: str | Path,
    *,
    names: Mapping[str, str] | None = None,
    notices: Notices | None = None,
    encoding: str | None = None,
    scale: tuple[float, float] | None = None,
    missing_rating: str | float | None = None,
    layout: str | None = None,
    turns: str = "last",
) -> list[Record]:
    """Read and check a file of records.

    The format follows the file name: ``.jsonl``, ``.json`` (an array), ``.csv``, ``.tsv``,
    ``.txt`` (tables), ``.parquet`` or ``.eval`` (inspect_ai); texts may be compressed
    (``.jsonl.gz``, ``.csv.zst``). Layouts of other programs are recognised by their fields: chat
    messages, lm-eval's ``samples_*.jsonl``, AlpacaEval's ``model_outputs`` and those of
    docs/layouts.md. So are familiar names: prompt, question or input for the instruction, answer,
    output or completion for the response. Without ids the positions count, from 0.

    Args:
        path: The file, here or on the hub (``hf://datasets/OWNER/NAME[@REVISION]/PATH``).
        names: Maps a field of ``Record`` to its name in the file, if they differ, for example
            ``{"response": "output"}``; ``{"rating": "meta.ratings"}`` is a field within a field.
        notices: Receives what was recognised, converted or ignored.
        encoding: The encoding of a text file that is not UTF-8, such as ``cp1252``.
        scale: Lowest and highest rating, for ratings that come without their scale.
        missing_rating: A value that means "no rating", such as -1.
        layout: The layout, if it is not recognised or a wrong one is.
        turns: Which answers of a conversation are records: ``last`` or ``all``.

    Returns:
        The records, in the order of the file; at least one, with distinct ids. A record whose
        response is null has an ``error``.

    Raises:
        DataError: If the file cannot be read, or any row is not a valid record.
    """
    path = local_file(path)
    options = ReadOptions(
        fields=dict(names or {}),
        encoding=encoding,
        scale=scale,
        missing_rating=missing_rating,
        layout=layout,
        turns=turns,
    )
    notices = notices or Notices()
    records, places = [], []
    for place, record in _iter_placed(path, options, notices):
        records.append(record)
        places.append((record.id, place))
    refuse_repeated_ids(places, path=Path(path), field=options.fields.get("id", "id"))
    if not records:
        raise DataError(on_nothing("holds no records", notices.why_left_out()), path=path)
    return records


def iter_records(
    path: str | Path,
    *,
    options: ReadOptions | None = None,
    notices: Notices | None = None,
) -> Iterator[Record]:
    """The records of a file one after the other, as ``read_records`` reads them; perhaps none.

    JSON arrays apart, no file is held in memory. Faults are raised where they stand; repeated ids
    are not looked for.
    """
    return (record for _, record in _iter_placed(Path(path), options or ReadOptions(), notices))


def _iter_placed(
    path: Path, options: ReadOptions, notices: Notices | None
) -> Iterator[tuple[str, Record]]:
    notices = notices or Notices()
    named = options.fields.values()
    wanted = _READ.union(named, map(column_of, named))
    if ending_of(path) == ".parquet":  # other layouts have columns of their own
        first = next(iter_rows(path, fields=()), None)
        wanted |= columns_of(first[1].keys()) if first else set()
    rows = iter_rows(path, fields=wanted, options=options, notices=notices)
    return records_of_rows(rows, path=path, options=options, notices=notices)


def records_of_rows(
    rows: Rows,
    *,
    path: Path | None,
    options: ReadOptions | None = None,
    notices: Notices | None = None,
) -> Iterator[tuple[str, Record]]:
    """Records from rows in any of the layouts, each with its place.

    Args:
        rows: The rows.
        path: The file they are from, or None; for errors.
        options: What fields are called, and what ratings mean.
        notices: As for ``read_records``.

    Raises:
        DataError: For the first row that is no record.
    """
    options, notices = options or ReadOptions(), notices or Notices()
    names = options.fields
    for name in names:
        if name not in RECORD_FIELDS:
            raise DataError(f"no record field {name!r}; there are: {', '.join(RECORD_FIELDS)}.")
    first = next(rows, None)
    if first is None:
        return
    place, columns = first
    rows, inner = chain([first], rows), [name for name in names.values() if "." in name]
    numbered, layout = False, recognised(columns, options, path=path, place=place)
    if layout is not None:
        rows = layout_rows(layout, rows, path=path, options=options, notices=notices)
        names, inner = {}, []
    else:
        _refuse_turns(options, path)
        rows = with_inner_fields(rows, inner) if inner else rows
        if "response" not in {*names, *columns} and {"output", "instruction"} <= columns.keys():
            names = alpaca_eval_names(columns, names)
        else:
            names = with_familiar(names, columns, path, place, notices)
        numbered = "id" not in {*names, *columns}
    if numbered:
        notices.say("there is no field 'id': the positions are the ids, starting at 0")
    known = {*(names.get(field, field) for field in RECORD_FIELDS), *QUESTION_FIELDS, RATINGS}
    known.update(map(column_of, inner))
    shown = None if path is None else printable(path)
    unseen, seen = set(names.values()), set[str]()
    for at, (place, row) in enumerate(rows):
        unseen -= row.keys()
        seen |= row.keys()
        if numbered and not is_missing(row.get("id")):
            message = "is here, but not in the first row; give every row an id, or no row."
            raise DataError(message, path=path, place=place, field="id")
        try:
            record = record_from_mapping(
                with_rating(row, options, notices, names, path=shown, place=place),
                names=names,
                number=at if numbered else None,
                path=shown,
                place=place,
                notices=notices,
            )
        except DataError:
            # A name that no row has explains more than the field that is missing here.
            for _, later in rows:
                unseen -= later.keys()
            refuse_unseen(unseen, names, columns, path)
            raise
        yield place, record
    refuse_unseen(unseen, names, columns, path)
    if layout is None:
        notices.ignore(name for name in columns if name in seen - known)
        notices.ignore(sorted(seen - known - columns.keys()))


def _refuse_turns(options: ReadOptions, path: Path | None) -> None:
    if options.turns != LAST:
        message = (
            "`turns` all is for files of conversations, which have no instruction beside them."
        )
        raise DataError(message, path=path)


def with_familiar(
    names: Mapping[str, str],
    columns: Mapping[str, Any],
    path: Path | None,
    place: str,
    notices: Notices,
) -> dict[str, str]:
    """What fields are called: as the user says, and of those that are missing by familiar names.

    Raises:
        DataError: If there are two such names.
    """
    try:
        found = familiar_names(columns, names)
    except DataError as error:
        raise DataError(error.message, path=path, place=place) from None
    for field, name in found.items():
        notices.say(f"{name!r} is taken as the {field}")
    return {**found, **names}


def refuse_unseen(
    unseen: set[str], names: Mapping[str, str], columns: Mapping[str, Any], path: Path | None
) -> None:
    """Raise a ``DataError`` for the first name that no row has; ``unseen`` are those."""
    for field, name in names.items():
        if name in unseen:
            have = ", ".join(map(str, columns))
            message = f"no row has a field {name!r} for {field!r}; the fields are: {have}."
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
    options: ReadOptions | None = None,
    notices: Notices | None = None,
) -> Rows:
    """The rows of a file one after the other; but for JSON arrays, they are not held in memory.

    Args:
        path: The file.
        fields: Columns that are needed, by default all. In Parquet the others are None, unread.
        options: The file's encoding; what the response and the numbers are called in a table. None
            where the user has no such options.
        notices: Gets what was recognised.

    Raises:
        DataError: If the file cannot be read.
    """
    path, how = Path(path), options or ReadOptions()
    ending = ending_of(path)
    _refuse_format(path, ending)
    text: dict[str, Any] = {"encoding": how.encoding, "told": options is not None}
    try:
        refuse_special(path)
        if ending == ".parquet":
            yield from parquet_rows(path, fields)
        elif ending == ".eval":
            yield from inspect_rows(path)
        elif ending in TABLES:
            names = how.fields
            yield from csv_rows(
                path,
                notices or Notices(),
                answers=[names["response"]] if "response" in names else _ANSWERS,
                numbers={names.get(name, name) for name in _NUMBERS},
                nothing=None if how.missing_rating is None else str(how.missing_rating),
                **text,
            )
        else:
            yield from (jsonl_rows if ending == ".jsonl" else json_rows)(path, **text)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}.", path=path) from error


def _refuse_format(path: Path, ending: str) -> None:
    if ending in READABLE and not (ending in PACKED and ending != path.suffix.lower()):
        return
    if not path.exists():
        raise DataError("there is no such file or folder.", path=path)
    if ending in _WORKBOOKS:
        message = "is a spreadsheet's own format; save it as 'CSV UTF-8', and give that file."
        raise DataError(message, path=path)
    if ending in PACKED:
        message = f"is {PACKED[ending]}, which is compressed inside; unpack it."
        raise DataError(message, path=path)
    formats = f"{', '.join(READABLE)}, text formats also with {' or '.join(COMPRESSED)} added"
    raise DataError(f"cannot tell the format from the name; use one of {formats}.", path=path)


def refuse_repeated_ids(
    ids: list[tuple[str, str]], *, path: Path | None, field: str = "id", remedy: str = ""
) -> None:
    """Raise a ``DataError`` for the first id that occurs twice; ``ids`` come with their place."""
    seen: dict[str, str] = {}
    for name, place in ids:
        if name in seen:
            message = f"{name!r} occurs twice, first in {seen[name]}; ids must be unique.{remedy}"
            raise DataError(message, path=path, place=place, field=field)
        seen[name] = place
