"""One process at a time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from selfj_eval.errors import StoreError


@contextmanager
def alone(lock: Path, folder: Path, work: str) -> Iterator[None]:
    """No other process that asks for the lock is at work meanwhile.

    Args:
        lock: The lock file, in a folder that is there.
        folder: What is locked, for the message.
        work: What is done there, such as a command's name, for the message.

    Raises:
        StoreError: If another process is at work.
        OSError: If the lock file cannot be made.
    """
    import filelock

    held = filelock.FileLock(lock)
    try:
        held.acquire(timeout=0)
    except filelock.Timeout as error:
        message = f"{folder}: another `{work}` is running there; wait until it has ended."
        raise StoreError(message) from error
    try:
        yield
    finally:
        held.release()


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Processes that ask for the lock wait for each other.

    Raises:
        StoreError: If the lock file cannot be made.
    """
    import filelock

    held = filelock.FileLock(lock)
    try:
        held.acquire()
    except OSError as error:
        raise StoreError(f"{lock.parent} cannot be written: {error.strerror or error}.") from error
    try:
        yield
    finally:
        held.release()


def made_once(folder: Path, make: Callable[[Path], Path]) -> Path:
    """A folder that is made once and whole, also when several processes ask for it at a time.

    Args:
        folder: The folder; if it is there, nothing is done.
        make: Makes it, in a place that is given, and returns where. The place is removed.

    Returns:
        The folder.

    Raises:
        StoreError: If the parent folder, or the lock file in it, cannot be made.
        OSError: If the disk is full, or the folder cannot be moved to where it belongs.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder.parent} cannot be made: {error.strerror or error}.") from error
    with one_at_a_time(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():  # another process has made it meanwhile
            return folder
        for left_over in folder.parent.glob(f".{folder.name}.*/"):  # by a process that was killed
            shutil.rmtree(left_over, ignore_errors=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
            make(Path(place)).rename(folder)
    return folder
