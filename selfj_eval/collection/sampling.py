"""A random sample of a collection that its seed alone decides."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from heapq import nsmallest
from pathlib import Path
from typing import Any

from selfj_eval.collection.sources import CATEGORIES
from selfj_eval.collection.workers import worker_processes
from selfj_eval.errors import DataError

COLUMNS = ("id", "instruction", "source", "category")
_BATCH = 65536


def collection_files(folder: Path) -> list[Path]:
    """The Parquet files of a finished collection, in a fixed order.

    Raises:
        DataError: If there are none.
    """
    found = [file for name in CATEGORIES for file in sorted((folder / name).glob("*.parquet"))]
    if not found:
        raise DataError(
            f"holds no collection (folders {', '.join(CATEGORIES)} with Parquet files); make one "
            "with `selfj collect run`.",
            path=folder,
        )
    return found


def read_batches(file: Path, columns: Sequence[str] = COLUMNS) -> Iterator[dict[str, list[Any]]]:
    """Some columns of a file of a collection, a batch of rows at a time.

    Raises:
        DataError: If it is not such a file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(_BATCH, columns=list(columns)):
                yield {name: batch.column(name).to_pylist() for name in columns}
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"is no file of a collection ({error}).", path=file) from error


def sample(
    folder: Path,
    n: int,
    *,
    seed: int = 0,
    categories: Collection[str] = CATEGORIES,
    exclude: Collection[str] = (),
    workers: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> list[dict[str, str]]:
    """Draw instructions.

    Each instruction's place in a random order is a hash of the seed and its id; the first n
    are the sample. So it is the same in any order of files and for any number of workers, a
    smaller sample is the beginning of a larger one, and a collection that grows changes it little.

    Args:
        folder: Of the collection.
        n: How many, at least 1.
        seed: Another seed draws others.
        categories: Only from these.
        exclude: Ids that are not drawn, such as those of another sample.
        workers: Processes that read files.
        progress: Called with the number of files that have just been read.

    Returns:
        Rows with the columns of a collection, in the random order.

    Raises:
        DataError: If there are fewer than n, or a file cannot be read.
    """
    if n < 1 or workers < 1:
        raise DataError(f"n and workers must be at least 1, got {n} and {workers}.")
    files = [file for file in collection_files(folder) if file.parent.name in categories]
    first = partial(_first, n=n, seed=seed, exclude=frozenset(exclude))
    drawn: list[tuple[bytes, str, int]] = []
    for at, found in enumerate(_mapped(first, files, workers)):
        drawn = nsmallest(n, [*drawn, *((*item, at) for item in found)])
        progress(1)
    if len(drawn) < n:
        raise DataError(f"holds {len(drawn):,} instructions to draw from, not {n:,}.", path=folder)
    wanted: dict[int, set[str]] = {}
    for _, name, at in drawn:
        wanted.setdefault(at, set()).add(name)
    chosen = [files[at] for at in sorted(wanted)]
    names = [frozenset(wanted[at]) for at in sorted(wanted)]
    rows: dict[str, dict[str, str]] = {}
    for file, own in zip(chosen, names, strict=True):
        rows |= _rows(file, own)
    return [rows[name] for _, name, _ in drawn]


def place(seed: int, name: str) -> bytes:
    """An instruction's place in the random order of a seed."""
    return hashlib.sha256(f"{seed}\n{name}".encode()).digest()[:12]


def _mapped(
    function: Callable[[Path], list[tuple[bytes, str]]], files: Sequence[Path], workers: int
) -> Iterator[list[tuple[bytes, str]]]:
    if workers == 1 or len(files) < 2:
        yield from map(function, files)
        return
    with worker_processes(workers) as pool:
        yield from pool.map(function, files)


def _first(file: Path, *, n: int, seed: int, exclude: frozenset[str]) -> list[tuple[bytes, str]]:
    """The n first ids of a file in the random order."""
    found: list[tuple[bytes, str]] = []
    for batch in read_batches(file, ("id",)):
        places = ((place(seed, name), name) for name in batch["id"] if name not in exclude)
        found = nsmallest(n, [*found, *places])
    return found


def _rows(file: Path, names: frozenset[str]) -> Mapping[str, dict[str, str]]:
    found = {}
    for batch in read_batches(file):
        for values in zip(*(batch[name] for name in COLUMNS), strict=True):
            if values[0] in names:
                found[values[0]] = dict(zip(COLUMNS, values, strict=True))
    return found
