"""Files that are written whole or not at all, and never over what is read."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO

from selfj_eval.errors import StoreError

FORMATS = (".jsonl", ".json", ".csv", ".parquet")
"""Endings of files of rows."""
_LONGEST_NAME = 255  # bytes; of all usual file systems


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
                f"{path}: the disk is full, so nothing was written. Free some space and run it "
                "again."
            ) from error
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from error


def _temporary_name(path: Path) -> str:
    return f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp"


def _too_long(path: Path) -> str:
    return (
        f"{path}: the name is too long; with the endings of the files beside it, it has more "
        "bytes than the file system allows. Name a shorter output."
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
        raise StoreError(f"{path}: there is no folder {path.parent}; create it first.")
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


@contextmanager
def new_folder(name: str | os.PathLike[str]) -> Iterator[Path]:
    """As ``output_folder``; if the work fails before there is a result, no empty folder is left."""
    wanted = Path(name).absolute()
    made = [folder for folder in (wanted, *wanted.parents) if not folder.exists()]
    folder = output_folder(name)
    try:
        yield folder
    except BaseException:
        for empty in made:  # the innermost first
            with suppress(OSError):  # it is not empty
                empty.rmdir()
        raise


def run_file(scores: str | Path) -> Path:
    """Where it stands how a scores file was made: beside it, its name with ``.run.json``."""
    return Path(f"{scores}.run.json")


def write_json(path: str | Path, value: object) -> None:
    """Write one JSON document, strict (no NaN), indented."""
    with atomic_write(path) as stream:
        text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
        stream.write(text.encode() + b"\n")
