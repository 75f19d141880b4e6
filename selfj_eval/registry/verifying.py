"""Whether finished files are still what was made, and can be read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfj_eval.errors import brief
from selfj_eval.registry.checksums import sha256_of
from selfj_eval.registry.columns import expected
from selfj_eval.registry.made import records, state
from selfj_eval.registry.paths import inside
from selfj_eval.registry.sets import DataSet


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one set.

    Attributes:
        name: ``pack/set``.
        path: Its file.
        state: ``got``, ``by hand``, ``outdated`` or ``missing``.
        rows: As counted; None where it could not be read.
        problems: What is wrong; nothing, if all is well.
    """

    name: str
    path: Path
    state: str
    rows: int | None
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
        return Finding(str(item), path, found, None, ("it is not there",))
    problems = []
    record = records(folder, item.pack).get(item.name)
    if record is not None and (sha256 := sha256_of(path)) != record["sha256"]:
        problems.append(f"its sha256 is {sha256}, when it was made it was {record['sha256']}")
    rows = None
    try:
        rows, names = _read(path)
    except (OSError, ValueError, csv.Error) as error:
        problems.append(f"it cannot be read: {brief(error)}")
    else:
        if missing := [name for name in expected(item.output) if name not in names]:
            problems.append(f"it has no column {', '.join(map(repr, missing))}")
        if record is not None and rows != record["rows"]:
            problems.append(f"it has {rows:,} rows, when it was made it had {record['rows']:,}")
    return Finding(str(item), path, found, rows, tuple(problems))


def is_known(item: DataSet, folder: Path) -> bool:
    """Whether a set's file is there, or was made and should be."""
    return state(folder, item) != "missing" or item.name in records(folder, item.pack)


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
