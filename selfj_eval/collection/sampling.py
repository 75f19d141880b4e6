"""A random sample of a collection that its seed alone decides."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import nsmallest
from pathlib import Path
from typing import Any

from selfj_eval.collection.sources import CATEGORIES
from selfj_eval.collection.summary import Collection as Collected
from selfj_eval.errors import DataError, brief, printable
from selfj_eval.jobs.options import PathLike, keywords, option
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.jobs.results import Result, table
from selfj_eval.records.writing import TableOptions

COLUMNS = ("id", "instruction", "source", "category")
_BATCH = 65536


@dataclass(frozen=True)
class Sample(Result):
    """Instructions that were drawn.

    Attributes:
        n: How many.
        seed: What decided which.
        excluded: How many instructions could not be drawn, being in other samples.
        categories: How many are of each category.
        output: The file, or None where they are in memory alone.
        sha256: Of the file.
        instructions: The rows, in the random order: ``id``, ``instruction``, ``source`` and
            ``category``.
    """

    n: int
    seed: int
    excluded: int
    categories: Mapping[str, int]
    output: str | None
    sha256: str | None
    instructions: Sequence[Mapping[str, str]] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The counts, without the rows."""
        found = {name: value for name, value in vars(self).items() if name != "instructions"}
        return found | {"categories": dict(self.categories)}

    def rows(self) -> list[dict[str, Any]]:
        """One row per instruction."""
        return [dict(row) for row in self.instructions]

    def __str__(self) -> str:
        where = "" if self.output is None else f"{self.output}: "
        counts = [(name, f"{count:,}") for name, count in self.categories.items()]
        return f"{where}{self.n:,} instructions, seed {self.seed}\n{table(counts)}"


@dataclass(frozen=True, kw_only=True)
class SampleOptions(TableOptions):
    """Which instructions are drawn."""

    n: int = option(help="how many instructions to draw", low=1)
    output: PathLike | None = option(None, ".jsonl, .json, .csv or .parquet", placeholder="FILE")
    seed: int = option(0, "seed of the sample")
    category: tuple[str, ...] = option((), "draw only from these categories", CATEGORIES)
    exclude: tuple[str | Path | Sample, ...] = option(
        (),
        "an earlier sample, whose instructions are not drawn again; may be repeated",
        placeholder="FILE",
    )
    workers: int = option(1, "how many processes read the files", low=1)
    progress: Watch = option(False, internal=True)


def sample_collection(collection: PathLike | Collected, options: SampleOptions) -> Sample:
    """Draw random instructions of a finished collection.

    Only the seed and the ids decide which instructions are drawn and in which order. The sample is
    the same on any number of workers, and a smaller sample is the beginning of a larger one.

    Args:
        collection: Its folder, or what ``run`` gave.

    Raises:
        DataError: If the collection is not finished or has too few instructions, or something in
            ``exclude`` is not a sample.
        StoreError: If the file cannot be written.
    """
    folder = folder_of(collection)
    files = collection_files(folder)
    if not (folder / "summary.json").is_file():
        message = (
            "has no summary.json: the collection is not finished. Run selfj collect run again."
        )
        raise DataError(message, path=folder)
    output = _output(options, files)
    exclude = {name for item in options.exclude for name in _ids(item)}
    with steps(options.progress, len(files), "read", "file") as progress:
        rows = draw(
            folder,
            options.n,
            seed=options.seed,
            categories=options.category or CATEGORIES,
            exclude=exclude,
            workers=options.workers,
            progress=progress,
        )
    counts = Counter(row["category"] for row in rows)
    categories = {name: counts[name] for name in CATEGORIES}
    found = Sample(len(rows), options.seed, len(exclude), categories, None, None, tuple(rows))
    return found if output is None else _written(found, output, folder, options)


sample = keywords(sample_collection, SampleOptions)


def folder_of(collection: PathLike | Collected) -> Path:
    """The folder of a collection."""
    return Path(collection.output if isinstance(collection, Collected) else collection)


def _output(options: SampleOptions, files: Sequence[Path]) -> Path | None:
    """The file, once it is sure that it can be written and is none that is read."""
    from selfj_eval.files.atomic import check_output

    read = [item for item in options.exclude if not isinstance(item, Sample)]
    output = None
    if options.output is not None:
        output = check_output(options.output, inputs=[*read, *files])
    options.check_csv(output)
    return output


def _written(found: Sample, output: Path, folder: Path, options: SampleOptions) -> Sample:
    from selfj_eval.files.atomic import run_file, write_json
    from selfj_eval.files.hashes import sha256_of
    from selfj_eval.jobs.provenance import provenance
    from selfj_eval.records.writing import write_rows

    write_rows(output, found.instructions, safe_csv=options.safe_csv)
    found = replace(found, output=printable(output), sha256=sha256_of(output))
    run = found.to_dict() | {"collection": printable(folder)} | provenance()
    write_json(run_file(output), run)
    return found


def _ids(item: PathLike | Sample) -> Iterator[str]:
    """Ids of a sample."""
    from selfj_eval.records.reading import iter_rows

    if isinstance(item, Sample):
        yield from (row["id"] for row in item.instructions)
        return
    for at, row in iter_rows(Path(item), fields=("id",)):
        if not isinstance(row.get("id"), str):
            message = "expected the id of an instruction, a text."
            raise DataError(message, path=item, place=at, field="id")
        yield row["id"]


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
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:  # also: not UTF-8
        raise DataError(f"is not a file of a collection ({brief(error)}).", path=file) from error


def draw(
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
    from selfj_eval.collection.workers import worker_processes

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
