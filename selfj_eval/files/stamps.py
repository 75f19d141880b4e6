"""Whether files are still those that were read: what a cache in memory goes by, beside names."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from selfj_eval.errors import JudgeError

Stamp = tuple[tuple[str, int, int], ...]


def stamp(name: str | Path) -> Stamp:
    """What changes when a file, or one in a folder, is written anew; its content is not read.

    Args:
        name: The file or folder.

    Returns:
        Name, size and time of each file; nothing where there is none, as for a hub id.

    Raises:
        JudgeError: If the name is empty, which as a path would be the working directory.
    """
    if not str(name):
        raise JudgeError("a model, adapter or tokenizer has an empty name; give its folder or id.")
    path = Path(name).expanduser()
    inside = [Path(folder, file) for folder, _, files in os.walk(path) for file in files]
    return tuple(found for file in sorted([path, *inside]) if (found := _state(file)) is not None)


def _state(file: Path) -> tuple[str, int, int] | None:
    """A file's name, size and time; None where there is none, or none any more."""
    try:
        state = file.stat()
    except (OSError, ValueError):
        return None
    return (str(file), state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else None
