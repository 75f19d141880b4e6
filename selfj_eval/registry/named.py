"""Sets of judge_bench by their short names, such as ``arena_bench``, where files are named too."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from selfj_eval.errors import DataError
from selfj_eval.registry.folder import data_file

_HOLDS = {"pointwise": ("rated answers", "records"), "pairwise": ("pairs", "pairs")}


def judge_bench_file(name: str | Path, kind: str) -> Path | None:
    """The file of a set that is named without its kind; None of what is the path of a file.

    Args:
        name: As a user gives it.
        kind: ``pointwise`` or ``pairwise``.

    Raises:
        DataError: If it is not here, with what to do; or if there is no such set.
    """
    if re.fullmatch(r"[a-z0-9_]+", str(name)) is None or Path(name).is_file():
        return None
    stem = str(name).removeprefix(f"{kind}_")
    try:
        return data_file("judge_bench", f"{kind}_{stem}.parquet")
    except DataError:
        from selfj_eval.registry.sets import load_sets

        stems = [PurePosixPath(known.output).stem for known in load_sets()]
        there = [s.removeprefix(f"{kind}_") for s in stems if s.startswith(f"{kind}_")]
        if stem in there:
            raise
        close = get_close_matches(stem, there, 1)
        hint = f"Did you mean {close[0]}? " if close else ""
        what, rows = _HOLDS[kind]
        raise DataError(
            f"no set of {what} is called {stem!r}. {hint}There are: {', '.join(there)}; or "
            f"give a file of {rows}."
        ) from None
