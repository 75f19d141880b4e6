"""JSONL and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.files.documents import parse_json, unique_keys, whole
from selfj_eval.records.formats import Rows
from selfj_eval.records.formats.documents import rows_in
from selfj_eval.records.formats.opening import decode, opened, text_lines

# json.loads makes one for each line.
_DECODER = json.JSONDecoder(object_pairs_hook=unique_keys, parse_int=whole)


def jsonl_rows(path: Path, encoding: str | None = None, *, told: bool = False) -> Rows:
    """One object a line; lines of white space are skipped.

    Args:
        path: The file.
        encoding, told: As for ``opening.text_lines``.
    """
    for number, line in enumerate(text_lines(path, encoding, newline="\n", told=told), 1):
        if not line.isspace():
            place = f"line {number}"
            yield place, _object(_loads(line.rstrip("\r\n"), path, number), path, place)


def json_rows(path: Path, encoding: str | None = None, *, told: bool = False) -> Rows:
    """An array of objects, or a document of another program that holds one.

    Arguments as for ``jsonl_rows``.
    """
    with opened(path) as stream:
        text = decode(stream.read(), path, encoding=encoding, told=told)
    if not text.strip():
        raise DataError("is empty.", path=path)
    try:
        value = _loads(text, path)
    except DataError as error:
        if _is_jsonl(text):
            message = "holds one object per line, which is JSONL; name it .jsonl."
            raise DataError(message, path=path) from error
        raise
    if isinstance(value, dict) and (rows := rows_in(value, path)) is not None:
        yield from rows
        return
    if not isinstance(value, list):
        raise DataError(
            f"expected a JSON array of objects, got {type(value).__name__}; one object per "
            "line is JSONL: name the file .jsonl.",
            path=path,
        )
    for number, item in enumerate(value, 1):
        yield f"row {number}", _object(item, path, f"row {number}")


def _is_jsonl(text: str) -> bool:
    """Whether the first line is an object by itself."""
    try:
        return isinstance(parse_json(text.splitlines()[0], strict=False), dict)
    except ValueError:
        return False


def _loads(text: str, path: Path, first_line: int = 1) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"broken JSON at column {error.colno}: {error.msg}.",
            path=path,
            place=f"line {first_line + error.lineno - 1}",
        ) from error
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise DataError(f"broken JSON: {reason}.", path=path, place=f"line {first_line}") from error


def _object(value: Any, path: Path, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(
            f"expected a JSON object, got {type(value).__name__}.", path=path, place=place
        )
    return value
