"""One process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
        message = f"{folder}: another `{work}` is at work there; wait until it has ended."
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
