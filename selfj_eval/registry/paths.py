"""Paths from data: they lead nowhere but into the folder that they are joined to."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from selfj_eval.errors import DataError


def is_relative(path: str) -> bool:
    """Whether a path, with slashes, stays below whatever it is joined to, on every system."""
    parts = path.split("/")
    return (
        all(part not in ("", ".", "..") for part in parts)
        and "\\" not in path
        and path.isprintable()
        and not PurePosixPath(path).is_absolute()
        and not PureWindowsPath(path).drive
    )


def inside(folder: Path, path: str) -> Path:
    """``folder / path``, with every link followed.

    Raises:
        DataError: If that lies outside of the folder.
    """
    joined = folder.joinpath(*path.split("/"))
    if not is_relative(path) or not joined.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"leads out of {folder}, by `..` or through a link; nothing is written there. Remove "
            "the link, or name the folder that it leads to.",
            path=joined,
        )
    return joined
