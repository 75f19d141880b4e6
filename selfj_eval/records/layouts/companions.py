"""Files that belong to the one that is read: found by their folder, never by a path in data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, printable
from selfj_eval.records.formats.text import jsonl_rows
from selfj_eval.records.layouts.base import Source


def beside(source: Source, ending: str) -> list[Path]:
    """The other files of a kind in the folder of the one that is read, in the order of names.

    Raises:
        DataError: If the rows are in memory.
    """
    path = needed(source)
    files = sorted(path.parent.iterdir())
    return [
        file
        for file in files
        if file.suffix.lower() == ending and file.is_file() and not file.samefile(path)
    ]


def needed(source: Source) -> Path:
    """The file that is read, beside which others lie.

    Raises:
        DataError: If the rows are in memory.
    """
    if source.path is None:
        raise DataError("the questions are in another file; give these answers as a file.")
    return source.path


def base_folder(source: Source, levels: int, inside: str) -> Path:
    """The folder of the benchmark: so many levels above a file that lies where the tool writes it.

    Args:
        source: What is read.
        levels: 2 for ``model_answer/M.jsonl``.
        inside: The name that the folder below it has, such as ``model_answer``.

    Raises:
        DataError: If the file does not lie in such a folder.
    """
    path = needed(source).resolve()
    parents = list(path.parents)
    if len(parents) <= levels or parents[levels - 2].name != inside:
        raise DataError(
            f"is not in {inside}/, where its tool writes it: the questions are looked for "
            f"beside that folder. Put it there.",
            path=source.path,
        )
    return parents[levels - 1]


def question_file(base: Path, source: Source) -> Path:
    """The questions of a benchmark.

    Raises:
        DataError: If the file is not there.
    """
    file = base / "question.jsonl"
    if not file.is_file():
        raise DataError(
            f"the questions are not there: {printable(file)}. Put the benchmark's question.jsonl "
            "there.",
            path=source.path,
        )
    return file


def keyed(file: Path, key: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The rows of a JSONL file by a field, each with its place; a later row replaces an earlier.

    Raises:
        DataError: If it is broken, or a row lacks the field.
    """
    return {own: (place, row) for own, place, row in _keyed(file, key)}


def _keyed(file: Path, key: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for place, row in jsonl_rows(file):
        value = row.get(key)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise DataError("expected an id.", path=file, place=place, field=key)
        yield str(value), place, row


def named_file(folder: Path, name: str) -> Path | None:
    """The JSONL file of a model, such as ``model_answer/M.jsonl``; only of those that are there."""
    if not folder.is_dir():
        return None
    return next((file for file in sorted(folder.glob("*.jsonl")) if file.stem == name), None)
