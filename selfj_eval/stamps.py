"""Whether files are still those that were read: what a cache in memory goes by, beside names."""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[tuple[str, int, int], ...]


def stamp(name: str | Path) -> Stamp:
    """What changes when a file, or one in a folder, is written anew; its content is not read.

    Args:
        name: The file or folder.

    Returns:
        Name, size and time of each file; nothing where there is none, as for a hub id.
    """
    path = Path(name).expanduser()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = [(str(file), file.stat()) for file in files if file.is_file()]
    return tuple((place, state.st_size, state.st_mtime_ns) for place, state in found)
