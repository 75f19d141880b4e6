"""CSV, also as spreadsheets write it: semicolons or tabs, UTF-16, decimal commas, empty columns.

What is recognised beyond plain CSV is noted, so that a wrong guess shows.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.files.formulas import GUARD, GUARD_COLUMN, unguarded
from selfj_eval.records.formats import Rows
from selfj_eval.records.formats.opening import ending_of, opened, text_lines
from selfj_eval.records.notices import Notices
from selfj_eval.records.record import NO_ANSWER

EMPTY_ANSWERS = "empty cells, read as empty answers"
_PROMPTFOO = {"Status", "Score", "Grader Reason"}
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?nan|[-+]?inf", re.A | re.I)


def csv_rows(
    path: Path,
    notices: Notices,
    *,
    answers: Sequence[str] = (),
    numbers: Collection[str] = (),
    nothing: str | None = None,
    encoding: str | None = None,
    told: bool = False,
) -> Rows:
    """The rows of a table with a header, which is row 1, as spreadsheets count.

    An empty cell is None, in a column of answers an empty text: a table has no null, and an empty
    answer is an answer.

    Args:
        path: The file.
        notices: Gets what was recognised.
        answers: Names of the column that holds the answers; the first that is there.
        numbers: Columns that hold numbers.
        nothing: What else than a number may stand there; left as it is.
        encoding, told: As for ``opening.text_lines``; UTF-16 is recognised by its beginning.

    Raises:
        DataError: Naming the row, if it is not such a table or a number is none.
    """
    if encoding is None and _is_utf_16(path):
        encoding = "UTF-16"
        notices.say("the file is UTF-16")
    lines = text_lines(path, encoding, newline="", told=told)
    lines, first_line, delimiter = _delimited(lines, notices)
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    csv.field_size_limit(2**31 - 1)
    try:
        written = next(reader, [])
        header = _header(written, path)
        if ending_of(path) == ".txt" and len(header) < 2:  # any text may be called so
            message = (
                "is not a table: nothing separates columns in its first line. Make it JSONL or CSV."
            )
            raise DataError(message, path=path)
        width = 1 + max((at for at, name in enumerate(header) if name), default=-1)
        comma = delimiter != ","
        answer = next((name for name in answers if name in header), None)
        for number, cells in enumerate(reader, 2):
            place = f"row {number}"
            if not any(cells):
                if cells:  # a line break at the end of the file is no row
                    notices.count("empty rows, skipped")
                continue
            if cells == written:  # as where two files were put together
                notices.count("repeated headers, skipped")
                continue
            if len(cells) < width:
                notices.count("rows with fewer cells than the header")
            elif len(cells) > len(header):
                notices.count("rows with more cells than the header, all of them empty")
            row = _row(header, cells, path, place)
            if row.get(GUARD_COLUMN) == GUARD:
                row = {k: unguarded(v) if isinstance(v, str) else v for k, v in row.items()}
                del row[GUARD_COLUMN]
            if answer is not None and row[answer] is None:
                if header.index(answer) >= len(cells):
                    message = f"ends before the column {answer!r}; is a delimiter missing?"
                    raise DataError(message, path=path, place=place)
                if NO_ANSWER not in (row.get("error") or ""):
                    row[answer] = ""
                    notices.count(EMPTY_ANSWERS)
            for name in numbers:
                if row.get(name) not in (None, nothing):
                    row[name] = _number(row[name], comma, notices, path, place, name)
            yield place, row
    except csv.Error as error:
        place = f"line {first_line + reader.line_num}"
        raise DataError(f"broken CSV: {error}.", path=path, place=place) from error


def _is_utf_16(path: Path) -> bool:
    with opened(path) as stream:
        return stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _delimited(lines: Iterator[str], notices: Notices) -> tuple[Iterator[str], int, str]:
    """The lines from the header on, how many stand before, and what separates the cells."""
    header = next(lines, "")
    first = re.match(r"sep=(.)\r?\n", header)
    if first:  # Excel's own first line
        notices.say(f"its first line says that {_name(first[1])} separate the cells")
        return lines, 1, first[1]
    outside = Counter(re.sub(r'"(?:[^"]|"")*"', "", header))
    delimiter = max(_DELIMITERS, key=lambda mark: (outside[mark], mark == ","))
    if delimiter != ",":
        notices.say(f"{_name(delimiter)} separate the cells")
    return chain([header], lines), 0, delimiter


def _name(delimiter: str) -> str:
    return _DELIMITERS.get(delimiter, f"the characters {delimiter!r}")


def _header(written: list[str], path: Path) -> list[str]:
    header = [name.strip() for name in written]
    named = [name for name in header if name]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        if {*twice} >= _PROMPTFOO:
            message = "is promptfoo's CSV, whose columns repeat; export its JSON, and give that."
            raise DataError(message, path=path)
        raise DataError(f"has two columns {twice[0]!r}; which one is meant?", path=path)
    return header


def _row(header: list[str], cells: list[str], path: Path, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {name: None for name in header if name}
    for number, cell in enumerate(cells):
        if not cell:
            continue
        if number >= len(header):
            raise DataError("has more cells than the header.", path=path, place=place)
        if not header[number] and number == 0:
            continue  # pandas' index
        if not header[number]:
            message = f"column {number + 1} has no name, but a cell with {cell[:40]!r}; name it."
            raise DataError(message, path=path, place=place)
        found[header[number]] = cell
    return found


def _number(text: str, comma: bool, notices: Notices, path: Path, place: str, field: str) -> float:
    """A cell as a number.

    Args:
        comma: Whether a decimal comma is likely: the cells are not separated by commas.
    """
    value = text.strip()
    if re.fullmatch(r"[-+]?\d+,\d+", value):
        if not comma and re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", value):
            message = f"{value!r} is a thousand or has a decimal comma; write it with a point."
            raise DataError(message, path=path, place=place, field=field)
        notices.count("numbers with a decimal comma")
        value = value.replace(",", ".")
    if not _NUMBER.fullmatch(value):
        message = f"expected a number or an empty cell, got {text!r}."
        raise DataError(message, path=path, place=place, field=field)
    return float(value)
