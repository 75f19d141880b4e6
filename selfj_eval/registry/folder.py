"""Where the data packs and models lie, and what to do about a file that is not there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import platformdirs

from selfj_eval.errors import DataError


def data_folder(selfj_data: str | None = None) -> Path:
    """The folder with the data packs; it need not be there.

    Args:
        selfj_data: The folder; by default what the environment variable ``SELFJ_DATA`` names, and
            where that is not set, the user's own folder for the data of this program.
    """
    named = selfj_data or os.environ.get("SELFJ_DATA")
    if named:
        return Path(named).expanduser()
    return platformdirs.user_data_path("selfj-eval", appauthor=False)


def models_folder() -> Path:
    """The folder with the models: ``SELFJ_MODELS``, or one in the user's own folder for data."""
    named = os.environ.get("SELFJ_MODELS")
    if named:
        return Path(named).expanduser()
    return platformdirs.user_data_path("selfj-eval", appauthor=False) / "models"


def data_file(
    pack: str, name: str, selfj_data: str | None = None, *, second_way: str | None = None
) -> Path:
    """A file, or a folder of files, of a data pack.

    Args:
        pack: The pack's folder, such as ``judge_bench``.
        name: Path below it.
        selfj_data: As for ``registry.folder.data_folder``.
        second_way: How else than by ``SELFJ_DATA`` the caller's user can name the folder; for the
            error, such as ``the setting selfj_data``.

    Raises:
        DataError: If the file is not there, with the folder looked in and the way to get it.
    """
    folder = data_folder(selfj_data)
    path = folder / pack / name
    if path.exists():
        return path
    if (folder / name).exists():
        raise DataError(f"this is {pack} itself; name the folder that it lies in.", path=folder)
    ways = _ways(pack, name, selfj_data, second_way)
    if selfj_data or os.environ.get("SELFJ_DATA"):
        raise DataError(f"there is no such file. {ways}", path=path)
    raise DataError(
        f"{pack}/{name} is needed, and is not in your data folder, {folder} (SELFJ_DATA names no "
        f"other). {ways}"
    )


def _ways(pack: str, name: str, selfj_data: str | None, second_way: str | None) -> str:
    """What to do about a file that is not there."""
    from selfj_eval.registry.sets import load_sets

    second = f" (or {second_way})" if second_way else ""
    ways = f"Set the environment variable SELFJ_DATA{second} to a folder with {pack}/ in it"
    found = f"{pack}/{name}"
    for item in load_sets():
        if item.output == found or item.output.startswith(f"{found}/"):
            get = "selfj data get"
            if selfj_data:
                get = f"SELFJ_DATA={shlex.quote(selfj_data)} {get}"
            ways += f", or get it: `{get} {item}`; `{get} {pack}` gets all of the pack"
            break
    return f"{ways} (docs/data.md)."
