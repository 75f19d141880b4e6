"""Whether finished files are still what was made, and can be read."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfj_eval.errors import brief
from selfj_eval.registry.checksums import sha256_of
from selfj_eval.registry.columns import expected, needed
from selfj_eval.registry.made import records, state
from selfj_eval.registry.paths import inside
from selfj_eval.registry.sets import DataSet


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one set, or of a file of the user's own.

    Attributes:
        name: ``pack/set``.
        path: Its file.
        state: ``got``, ``by hand``, ``outdated``, ``missing`` or ``not in the registry``.
        rows: As counted; None where it could not be read.
        registered: As the registry has it; None for a file that is not in it.
        problems: What is wrong; nothing, if all is well.
    """

    name: str
    path: Path
    state: str
    rows: int | None
    registered: int | None
    problems: tuple[str, ...]


def verify(item: DataSet, folder: Path) -> Finding:
    """Compare a set's file with its record, read all of it, and look for its columns.

    A file that was made by hand has no record; it is read, and looked at for columns.

    Raises:
        DataError: If the pack's record is damaged.
    """
    path = inside(folder, item.output)
    found = state(folder, item)
    if found == "missing":
        return Finding(str(item), path, found, None, item.rows, ("it is not there",))
    problems = []
    record = records(folder, item.pack).get(item.name)
    if record is not None and (sha256 := sha256_of(path)) != record["sha256"]:
        problems.append(f"its sha256 is {sha256}, when it was made it was {record['sha256']}")
    rows, faults = _look(path, expected(item.output))
    problems += faults
    if rows is not None and record is not None and rows != record["rows"]:
        problems.append(f"it has {rows:,} rows, when it was made it had {record['rows']:,}")
    return Finding(str(item), path, found, rows, item.rows, tuple(problems))


def own_files(
    folder: Path, sets: Collection[DataSet], packs: Collection[str] | None = None
) -> list[Path]:
    """Parquet files in the packs' folders that are none of the registry's.

    Args:
        folder: The data folder.
        sets: All of the registry.
        packs: Only in these; by default in all.
    """
    known = {folder / item.output for item in sets}
    packs = {item.pack for item in sets} if packs is None else packs
    return [
        path
        for pack in sorted(packs)
        for path in sorted((folder / pack).rglob("*.parquet"))
        if path not in known and not path.name.startswith(".") and path.is_file()
    ]


def verify_own(path: Path, folder: Path) -> Finding:
    """Read all of a file of the user's own, and look for the columns that are needed."""
    name = path.relative_to(folder)
    rows, faults = _look(path, needed(name.as_posix()))
    shown = name.with_suffix("").as_posix()
    return Finding(shown, path, "not in the registry", rows, None, tuple(faults))


def is_known(item: DataSet, folder: Path) -> bool:
    """Whether a set's file is there, or was made and should be."""
    return state(folder, item) != "missing" or item.name in records(folder, item.pack)


def _look(path: Path, columns: Sequence[str]) -> tuple[int | None, list[str]]:
    """Rows, None where they cannot be read, and what is wrong."""
    try:
        rows, names = _read(path)
    except (OSError, ValueError, csv.Error) as error:
        return None, [f"it cannot be read: {brief(error)}"]
    missing = [name for name in columns if name not in names]
    return rows, [f"it has no column {', '.join(map(repr, missing))}"] if missing else []


def _read(path: Path) -> tuple[int, Sequence[str]]:
    """Rows, all of them read, and columns."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as stream:
            lines = csv.reader(stream)
            names = next(lines, [])
            return sum(1 for line in lines if line), names
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return sum(
                len(batch) for batch in file.iter_batches(batch_size=4096)
            ), file.schema_arrow.names
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
