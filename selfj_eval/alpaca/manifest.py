"""The rows of the paper's AlpacaEval table: what is published, and how each may be obtained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import selfj_eval
from selfj_eval.errors import DataError
from selfj_eval.files.documents import read_yaml

CELLS = ("v1", "v2", "v2_lc")
"""AlpacaEval 1, AlpacaEval 2, AlpacaEval 2 length-controlled; win rates in percent."""
_CELL_KEYS: dict[str, Any] = {"published": float | int | None} | dict.fromkeys(
    ("leaderboard", "replay", "missing"), str | None
)
_ROW_KEYS = {"row", "title", "cells", "judge", "run"}


@dataclass(frozen=True)
class Entry:
    """What the manifest says of a cell.

    Attributes:
        published: The paper's number, or None where it gives none.
        leaderboard: The model's name on AlpacaEval's official leaderboards, or None.
        replay: The model whose stored GPT-4 preferences make the cell, or None.
        missing: Why there is no number of our own, or None where there is one.
    """

    published: float | None = None
    leaderboard: str | None = None
    replay: str | None = None
    missing: str | None = None


@dataclass(frozen=True)
class ManifestRow:
    """A row of the manifest.

    Attributes:
        name, title: For files and commands, and for people.
        cells: By ``CELLS``.
        judge: Name of the stored outputs a judge can score afresh, or None.
        run: How the answers of the row are generated, as options of ``generate``; None for a row
            that cannot be made from a model.
    """

    name: str
    title: str
    cells: Mapping[str, Entry]
    judge: str | None
    run: Mapping[str, Any] | None


def manifest_file() -> Path:
    """The manifest that comes with the package.

    Raises:
        DataError: If the installation is damaged.
    """
    package = Path(selfj_eval.__file__).parent
    for folder in (package / "alpaca", package.parent / "leaderboards"):
        if (folder / "alpaca_table.yaml").is_file():
            return folder / "alpaca_table.yaml"
    raise DataError(f"alpaca_table.yaml is missing from {package}; install selfj-eval again.")


def read_manifest(path: str | Path | None = None) -> list[ManifestRow]:
    """The rows of a manifest, by default of the one that comes with the package.

    Raises:
        DataError: Naming the row and what is wrong with it.
    """
    path = manifest_file() if path is None else Path(path)
    rows = read_yaml(path)
    if not isinstance(rows, list) or not rows:
        raise DataError("expected a list of rows.", path=path)
    found: list[ManifestRow] = []
    for number, row in enumerate(rows, 1):
        place = f"row {number}"
        if not isinstance(row, dict) or not {"row", "title", "cells"} <= set(row) <= _ROW_KEYS:
            message = f"needs row, title, cells, and may have judge, run; has {row!r:.80}."
            raise DataError(message, path=path, place=place)
        name, cells, run = str(row["row"]), row["cells"], row.get("run")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) or name in {r.name for r in found}:
            message = "expected a name of its own in lower-case letters, digits, '.' and '-'."
            raise DataError(message, path=path, place=place, field="row")
        if not isinstance(cells, dict) or not isinstance(run, dict | None):
            message = "cells, and run where there is one, have names and values."
            raise DataError(message, path=path, place=place)
        entries = {cell: _entry(cell, value, path, place) for cell, value in cells.items()}
        found.append(ManifestRow(name, str(row["title"]), entries, row.get("judge"), run))
    return found


def _entry(name: object, cell: Any, path: Path, place: str) -> Entry:
    if name not in CELLS or not isinstance(cell, dict) or not _CELL_KEYS.keys() >= set(cell):
        message = f"a cell is one of {', '.join(CELLS)} and has {', '.join(_CELL_KEYS)}."
        raise DataError(message, path=path, place=place, field=str(name))
    wrong = [key for key, kind in _CELL_KEYS.items() if not isinstance(cell.get(key), kind)]
    if wrong:
        message = f"{wrong[0]} of the cell {name} is of the wrong type."
        raise DataError(message, path=path, place=place, field=str(name))
    return Entry(**cell)
