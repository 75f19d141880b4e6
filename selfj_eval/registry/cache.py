"""Upstream files on disk, kept only until the sets that need them are finished."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from selfj_eval.errors import DataError, StoreError
from selfj_eval.files.atomic import remove_left_over
from selfj_eval.files.locks import alone
from selfj_eval.registry.made import record_file
from selfj_eval.registry.paths import inside
from selfj_eval.registry.sets import DataSet

_NAME = ".upstream"
_LOCK = "lock"


@contextmanager
def opened(folder: Path) -> Iterator[Path]:
    """The place for upstream files below a data folder, for one process at a time.

    Raises:
        StoreError: If it cannot be made, or another process is at work there.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            cache = inside(folder, _NAME)
            cache.mkdir(exist_ok=True)
            stack.enter_context(alone(cache / _LOCK, folder, "selfj data get"))
        except OSError as error:
            raise unwritable(folder, error) from error
        yield cache


def unwritable(folder: Path, error: OSError) -> StoreError:
    """An error that says how to name another folder."""
    reason = error.strerror or error
    return StoreError(f"{folder} cannot be written: {reason}. Name another folder with `to`.")


def clear_left_over(folder: Path, sets: Iterable[DataSet]) -> None:
    """Remove what killed processes have left of the files of sets, and of the packs' records."""
    for item in sets:
        # A link that leads out, or a folder that cannot be written, is told of where it matters.
        with suppress(DataError, OSError):
            remove_left_over(inside(folder, item.output))
            remove_left_over(record_file(folder, item.pack))


def tidy(
    cache: Path,
    *,
    finished: Iterable[DataSet],
    unfinished: Iterable[DataSet],
    others: Iterable[DataSet],
) -> None:
    """Remove the upstream files that nothing needs any more.

    Args:
        cache: Where they lie.
        finished: Sets that this command has made.
        unfinished: Sets that it has still to make.
        others: Sets that it does not make; what an interrupted command left for them stays.
    """
    needed = _places(unfinished) | (_places(others) - _places(finished))
    kept = needed | {_LOCK}
    for parent, _, names in os.walk(cache, topdown=False):  # follows no links
        for name in names:
            if (path := Path(parent, name)).relative_to(cache).as_posix() not in kept:
                path.unlink()
        if Path(parent) != cache and not any(Path(parent).iterdir()):
            Path(parent).rmdir()


def _places(sets: Iterable[DataSet]) -> set[str]:
    return {file.place for item in sets for file in item.files}
