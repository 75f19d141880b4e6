"""CSV, also as spreadsheets write it: semicolons or tabs, UTF-16, decimal commas, empty columns.

What is recognised beyond plain CSV is noted, so that a wrong guess shows.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.files.formulas import GUARD, GUARD_COLUMN, unguarded
from selfj_eval.records.formats import Rows
from selfj_eval.records.formats.text import decode
from selfj_eval.records.notices import Notices
from selfj_eval.records.record import NO_ANSWER

EMPTY_ANSWERS = "empty cells, taken as empty answers"
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?nan|[-+]?inf", re.A | re.I)
_BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def csv_rows(
    path: Path,
    notices: Notices,
    *,
    answers: Sequence[str] = (),
    numbers: Collection[str] = (),
) -> Rows:
    """The rows of a table with a header.

    An empty cell is None, in a column of answers an empty text: a table has no null, and an empty
    answer is an answer.

    Args:
        path: The file.
        notices: Gets what was recognised.
        answers: Names of the column that holds the answers; the first that is there.
        numbers: Columns that hold numbers.

    Raises:
        DataError: Naming the line, if it is not such a table or a number is none.
    """
    text, first_line, delimiter = _opened(path, notices)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)

    def place() -> str:
        return f"line {first_line + reader.line_num}"

    csv.field_size_limit(2**31 - 1)
    try:
        written = next(reader, [])
        header = _header(written, path)
        width = 1 + max((at for at, name in enumerate(header) if name), default=-1)
        comma = delimiter != ","
        answer = next((name for name in answers if name in header), None)
        for cells in reader:
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
            row = _row(header, cells, path, place())
            if row.get(GUARD_COLUMN) == GUARD:
                row = {k: unguarded(v) if isinstance(v, str) else v for k, v in row.items()}
                del row[GUARD_COLUMN]
            if answer is not None and row[answer] is None:
                if header.index(answer) >= len(cells):
                    message = f"ends before the column {answer!r}; is a delimiter missing?"
                    raise DataError(message, path=path, place=place())
                if NO_ANSWER not in (row.get("error") or ""):
                    row[answer] = ""
                    notices.count(EMPTY_ANSWERS)
            for name in numbers:
                if row.get(name) is not None:
                    row[name] = _number(row[name], comma, notices, path, place(), name)
            yield place(), row
    except csv.Error as error:
        raise DataError(f"broken CSV: {error}.", path=path, place=place()) from error


def _opened(path: Path, notices: Notices) -> tuple[str, int, str]:
    """The text from the header on, how many lines stand before, and what separates the cells."""
    data = path.read_bytes()
    if data.startswith(_BYTE_ORDER_MARKS):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError as error:
            message = f"begins as UTF-16 does, but is not ({error.reason}); save it as UTF-8."
            raise DataError(message, path=path) from error
        notices.say("the file is UTF-16")
    else:
        text = decode(data, path)
    first = re.match(r"sep=(.)\r?\n", text)
    if first:  # Excel's own first line
        text = text[first.end() :]
        notices.say(f"its first line says that {_name(first[1])} separate the cells")
        return text, 1, first[1]
    line = text.partition("\n")[0]
    outside = Counter(re.sub(r'"(?:[^"]|"")*"', "", line))
    delimiter = max(_DELIMITERS, key=lambda mark: (outside[mark], mark == ","))
    if delimiter != ",":
        notices.say(f"{_name(delimiter)} separate the cells")
    return text, 0, delimiter


def _name(delimiter: str) -> str:
    return _DELIMITERS.get(delimiter, f"the characters {delimiter!r}")


def _header(written: list[str], path: Path) -> list[str]:
    header = [name.strip() for name in written]
    named = [name for name in header if name]
    if twice := sorted({name for name in named if named.count(name) > 1}):
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
