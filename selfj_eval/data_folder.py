"""Finding files of the data packs in the folder that SELFJ_DATA names."""

from __future__ import annotations

import os
from pathlib import Path

from selfj_eval.errors import DataError


def data_file(pack: str, name: str, selfj_data: str | None = None) -> Path:
    """A file, or a folder of files, of a data pack.

    Args:
        pack: The pack's folder, such as ``judge_bench``.
        name: Path below it.
        selfj_data: The folder with the packs; by default the environment variable
            ``SELFJ_DATA``.

    Raises:
        DataError: If no folder is named or the file is not there, with the way to get it.
    """
    folder = selfj_data or os.environ.get("SELFJ_DATA")
    where = f"Set the environment variable SELFJ_DATA to a folder with {pack}/ in it"
    ways = f"{where} (docs/data.md says what that is)."
    if pack == "judge_bench":  # read by lm-eval's tasks, which have a second way to name it
        ways = where.replace(" to a", ' (or --metadata \'{"selfj_data": "DIR"}\') to a', 1)
        ways += "; `selfj data get judge_bench` gets it."
    if not folder:
        raise DataError(f"{pack}/{name} is needed and no data folder is named. {ways}")
    path = Path(folder).expanduser() / pack / name
    if not path.exists() and (Path(folder).expanduser() / name).exists():
        raise DataError(f"this is {pack} itself; name the folder that it lies in.", path=folder)
    if not path.exists():
        raise DataError(f"there is no such file. {ways}", path=path)
    return path
