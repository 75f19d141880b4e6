"""Write records and judgments: whole files or nothing."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from selfj_eval.errors import DataError, StoreError
from selfj_eval.options import Options, option
from selfj_eval.records import Judgment, Record
from selfj_eval.rows import WRITERS, RowWriter, SafeCsv

FORMATS = tuple(WRITERS)


@dataclass(frozen=True, kw_only=True)
class TableOptions(Options):
    """How rows are written that may go into a spreadsheet."""

    group_title: ClassVar[str] = "the table that is written"

    safe_csv: bool = option(
        False,
        "CSV for a spreadsheet: an apostrophe before texts that begin like a formula; selfj reads "
        "them as they were",
    )

    def check_csv(self, output: Path | None) -> None:
        """Refuse the option where it would do nothing.

        Raises:
            DataError: If the output is no CSV file.
        """
        if self.safe_csv and (output is None or output.suffix.lower() != ".csv"):
            raise DataError("`safe_csv` is for an `output` that ends in .csv; leave it out.")


_LONGEST_NAME = 255  # bytes; of all usual file systems
_FROM_JUDGMENT = tuple(field.name for field in fields(Judgment))
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
    temporary = path.with_name(_temporary_name(path))
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError) or isinstance(error, ConnectionError):
            raise  # a connection is something else's
        if error.errno == errno.ENAMETOOLONG:
            raise StoreError(_too_long(path)) from error
        if error.errno == errno.ENOSPC:
            raise StoreError(
                f"{path}: the disk is full, nothing was written. Free space and run it again."
            ) from error
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from error


def _temporary_name(path: Path) -> str:
    return f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp"


def _too_long(path: Path) -> str:
    return (
        f"{path}: the name is too long; with what is added to it for files beside it, it has more "
        "bytes than the file system takes. Name a shorter output."
    )


def remove_left_over(path: str | Path) -> None:
    """Remove what killed processes of this machine have left of ``atomic_write`` to ``path``."""
    path = Path(path)
    for file in path.parent.glob(f".{escape(f'{path.name}.{socket.gethostname()}')}.*.tmp"):
        process = file.name.split(".")[-2]
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
        except (ValueError, PermissionError):
            continue  # not ours, or somebody's who is alive


def check_output(
    path: str | Path,
    *,
    formats: Sequence[str] = FORMATS,
    inputs: Iterable[object] = (),
) -> Path:
    """Refuse an output that could not be written, before any work is done.

    Args:
        path: The output.
        formats: Endings that its name may have.
        inputs: What is read and must not be written over: files with their run files, and the
            files behind results and scores.

    Raises:
        StoreError: If the ending is unknown, the folder does not exist, or it is an input.
    """
    path = Path(path)
    if path.suffix.lower() not in formats:
        raise StoreError(f"{path}: unknown format; end the name in one of {', '.join(formats)}.")
    read = {file for given in inputs if (file := _file_behind(given)) is not None}
    if path.resolve() in {file.resolve() for file in (*read, *map(run_file, read))}:
        raise StoreError(f"{path} is an input and would be overwritten; name another file.")
    if not path.parent.is_dir():
        raise StoreError(f"{path}: there is no folder {path.parent}; make it first.")
    longest = max((_temporary_name(run_file(path)), f"{path.name}.store-journal"), key=len)
    if len(os.fsencode(longest)) > _LONGEST_NAME:
        raise StoreError(_too_long(path))
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise StoreError(f"{path} cannot be written; name another `output`.")
    return path


def _file_behind(given: object) -> Path | None:
    """The file that an input is, or was read from or written to; None of what is in memory."""
    if isinstance(given, str | Path):
        return Path(given)
    for name in ("output", "path"):  # of a result, of scores
        if isinstance(file := getattr(given, name, None), str | Path):
            return Path(file)
    return None


def output_folder(name: str | os.PathLike[str]) -> Path:
    """The folder for results, made if it is not there.

    Raises:
        StoreError: If it cannot be made.
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{folder} cannot be made: {error.strerror or error}; name another `output`."
        raise StoreError(message) from error
    return folder


def write_records(path: str | Path, records: Sequence[Record], *, safe_csv: bool = False) -> None:
    """Write records in the format of the file's name, readable by ``read_records``.

    Args:
        path: The file.
        records: The records.
        safe_csv: As for ``row_writer``.

    Raises:
        StoreError: If the file cannot be written; then nothing is.
    """
    failed = any(record.error is not None for record in records)
    rows = [r.row() | ({"error": r.error} if failed else {}) for r in records]
    write_rows(path, rows, safe_csv=safe_csv)


def write_judgments(
    path: str | Path,
    records: Sequence[Record],
    judgments: Sequence[Judgment],
    *,
    safe_csv: bool = False,
) -> None:
    """Write judgments in the format of the file's name, one row a record, in their order.

    A row holds ``id, score, digit_mass, probabilities, error, reference_used,
    trimmed_tokens`` and the record's ``rating, rating_min, rating_max, model, category,
    instruction, response, reference`` where any record has them. In CSV, ``probabilities`` is
    a JSON array. ``safe_csv``: as for ``row_writer``.

    Raises:
        StoreError: If the file cannot be written; then nothing is.
    """
    columns = judgment_fields(fields_of(records))
    with row_writer(path, columns, safe_csv=safe_csv) as writer:
        writer.write(judgment_rows(records, judgments))


def fields_of(records: Iterable[Record]) -> set[str]:
    """The optional fields of a ``Record`` that any of them has."""
    unseen, seen = set(_FROM_RECORD), set()
    for record in records:
        if found := {field for field in unseen if getattr(record, field) is not None}:
            seen |= found
            unseen -= found
    return seen


def judgment_fields(given: Collection[str]) -> list[str]:
    """Columns of a scores file, for records that have the fields ``given``."""
    return [*_FROM_JUDGMENT, *(field for field in _FROM_RECORD if field in given)]


def judgment_rows(
    records: Iterable[Record], judgments: Iterable[Judgment]
) -> Iterator[dict[str, Any]]:
    """Rows of a scores file."""
    for record, judgment in zip(records, judgments, strict=True):
        row = {name: getattr(judgment, name) for name in _FROM_JUDGMENT}
        if judgment.probabilities is not None:
            row["probabilities"] = list(judgment.probabilities)
        given = record.row()
        yield row | {name: given[name] for name in _FROM_RECORD}


def run_file(scores: str | Path) -> Path:
    """Where it stands how a scores file was made: beside it, its name with ``.run.json``."""
    return Path(f"{scores}.run.json")


def write_json(path: str | Path, value: object) -> None:
    """Write one JSON document, strict (no NaN), indented."""
    with atomic_write(path) as stream:
        text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
        stream.write(text.encode() + b"\n")


def write_rows(
    path: str | Path, rows: Sequence[Mapping[str, Any]], *, safe_csv: bool = False
) -> None:
    """Write rows in the format of the file's name; ``safe_csv`` as for ``row_writer``.

    Raises:
        StoreError: If the file cannot be written; then nothing is.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with row_writer(path, columns, safe_csv=safe_csv) as writer:
        writer.write(rows)


@contextmanager
def row_writer(
    path: str | Path, fields: Sequence[str], *, safe_csv: bool = False
) -> Iterator[RowWriter]:
    """A file that takes rows bit by bit, and appears under its name when it is complete.

    Args:
        path: The file; its name's ending decides the format.
        fields: The rows' fields; what else a row has is left out.
        safe_csv: In CSV, put an apostrophe before texts that a spreadsheet would take for
            formulas, and say so in a column ``formula_guard``; this package reads the texts as
            they were.

    Raises:
        StoreError: If the file cannot be written; then nothing is.
    """
    path = check_output(path)
    ending = path.suffix.lower()
    with atomic_write(path) as stream:
        writer = (SafeCsv if safe_csv and ending == ".csv" else WRITERS[ending])(stream, fields)
        try:
            yield writer
        except BaseException:
            with suppress(Exception):
                writer.close()  # pyarrow complains of a file that it finds closed
            raise
        writer.close()
