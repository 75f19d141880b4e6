"""Whether finished files are still what was made, and can be read."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfj_eval.errors import brief
from selfj_eval.files.hashes import sha256_of
from selfj_eval.jobs.results import Result
from selfj_eval.registry.columns import expected, needed
from selfj_eval.registry.folder import data_folder
from selfj_eval.registry.made import records, state
from selfj_eval.registry.paths import inside
from selfj_eval.registry.sets import DataSet, load_sets, select

_NOTES = {
    "by hand": " (not made by selfj data get)",
    "outdated": " (made by another version)",
    "not in the registry": " (not in the registry)",
}


@dataclass(frozen=True)
class Finding:
    """What was found of one set, or of a file of the user's own.

    Attributes:
        set: ``pack/set``.
        path: Its file.
        state: ``got``, ``by hand``, ``outdated``, ``missing`` or ``not in the registry``.
        rows: As counted; None where it could not be read.
        registry_rows: As the registry has it; None for a file that is not in it.
        problems: What is wrong; nothing, if all is well.
    """

    set: str
    path: str
    state: str
    rows: int | None
    registry_rows: int | None
    problems: tuple[str, ...]

    def __str__(self) -> str:
        mark = "FAIL" if self.problems else "ok"
        parts, registered = list(self.problems), self.registry_rows or 0
        if self.state == "by hand" and self.rows is not None and self.rows < registered:
            parts.append(f"{self.rows:,} of {registered:,} rows")
        if not parts:
            parts.append(f"{self.rows:,} rows")
        return f"{mark:<5}{self.path}: {'; '.join(parts)}{_NOTES.get(self.state, '')}"


@dataclass(frozen=True)
class Verification(Result):
    """What was found of the files of a data folder.

    Attributes:
        folder: The data folder.
        sets: What was found of each set, then of each file of the user's own.
    """

    folder: str
    sets: tuple[Finding, ...]

    @property
    def wrong(self) -> int:
        """How many files are not as they should be."""
        return sum(bool(finding.problems) for finding in self.sets)

    def rows(self) -> list[dict[str, Any]]:
        """One row per file."""
        return [vars(finding) | {"problems": "; ".join(finding.problems)} for finding in self.sets]

    def __str__(self) -> str:
        lines = [str(finding) for finding in self.sets]
        if self.wrong:
            lines.append(f"{self.wrong} of {len(lines)} files are not as they should be")
        return "\n".join(lines)


def verify_data(names: str | Sequence[str] = ()) -> Verification:
    """Compare the files of sets with what was fetched, and read all of them.

    Args:
        names: Packs, sets (``mtbench``, ``judge_bench/pointwise_mtbench``) or ``all``; by default
            what is in the data folder.

    Raises:
        DataError: If there is no set of that name, or the record of a pack is damaged.
    """
    given = [names] if isinstance(names, str) else list(names)
    folder, registry = data_folder(), load_sets()
    chosen = select(registry, given) or [item for item in registry if is_known(item, folder)]
    findings = [verify_set(item, folder) for item in chosen]
    named = set(given) or {"all"}
    packs = {item.pack for item in registry if named & {"all", item.pack}}
    findings += [verify_own(path, folder) for path in own_files(folder, registry, packs)]
    return Verification(str(folder), tuple(findings))


def verify_set(item: DataSet, folder: Path) -> Finding:
    """Compare a set's file with its record, read all of it, and look for its columns.

    A file that was made by hand has no record; it is read, and looked at for columns.

    Raises:
        DataError: If the pack's record is damaged.
    """
    path = inside(folder, item.output)
    found = state(folder, item)
    if found == "missing":
        return Finding(str(item), str(path), found, None, item.rows, ("it is not there",))
    problems = []
    record = records(folder, item.pack).get(item.name)
    if record is not None and (sha256 := sha256_of(path)) != record["sha256"]:
        problems.append(f"its sha256 is {sha256}, when it was made it was {record['sha256']}")
    rows, faults = _look(path, expected(item.output))
    problems += faults
    if rows is not None and record is not None and rows != record["rows"]:
        problems.append(f"it has {rows:,} rows, when it was made it had {record['rows']:,}")
    return Finding(str(item), str(path), found, rows, item.rows, tuple(problems))


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
    return Finding(shown, str(path), "not in the registry", rows, None, tuple(faults))


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
