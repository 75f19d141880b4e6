"""The whole collection: every source made ready, duplicates out, one file a source."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfj_eval import __version__
from selfj_eval.collection.duplicates import EXACT, KEPT, NEAR, THRESHOLD, find_duplicates
from selfj_eval.collection.preparing import NOTE, PreparedSource, Recipe, prepare, work_file
from selfj_eval.collection.sampling import COLUMNS
from selfj_eval.collection.signatures import read_signatures
from selfj_eval.collection.sources import CATEGORIES, Source
from selfj_eval.collection.summary import Collection, RunSettings, SourceSummary
from selfj_eval.collection.workers import worker_processes
from selfj_eval.errors import DataError, SelfJError, StoreError, printable, some
from selfj_eval.files.atomic import atomic_write, remove_left_over, write_json
from selfj_eval.files.parquet_notes import read_note, write_note

Progress = Callable[[int], None]
KIND = "selfj-collection"
_ROWS = 65536
_COUNTED = {"exact_duplicate", "near_duplicate", "kept"}  # of a finished file
_SHOWN = 5  # reasons in a message

SourceOutcome = PreparedSource | SelfJError
"""A source that is ready, or why it is not."""
Runner = Callable[[Sequence[Source], Recipe, Path, int], Iterator[tuple[str, SourceOutcome]]]
"""Makes sources ready by so many workers; yields each by name as it is finished."""


def prepare_all(
    sources: Sequence[Source],
    recipe: Recipe,
    out: Path,
    *,
    workers: int = 1,
    runner: Runner | None = None,
    progress: Progress | None = None,
) -> dict[str, SourceOutcome]:
    """Make sources ready, several at a time. One that fails does not stop the others.

    Args:
        sources: The sources.
        recipe: What becomes of their rows.
        out: The output folder.
        workers: How many at a time.
        runner: What makes them ready; by default processes of this machine.
        progress: Called with the number of sources that have just been finished.

    Returns:
        What became of each, by name, in the order of ``sources``.

    Raises:
        StoreError: If nothing can be written.
        SelfJError: If a worker process dies.
    """
    make_folders(out)
    done: dict[str, SourceOutcome] = {}
    for name, outcome in (runner or on_processes)(sources, recipe, out, workers):
        if isinstance(outcome, StoreError):
            raise outcome  # such as a full disk: no other source would fare better
        done[name] = outcome
        if progress is not None:
            progress(1)
    return {source.name: done[source.name] for source in sources}


def make_folders(out: Path) -> None:
    """The folders of a collection.

    Raises:
        StoreError: If they cannot be made.
    """
    for name in ("work", *CATEGORIES):
        try:
            (out / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"{out / name} cannot be made: {error.strerror}; name another `output`."
            raise StoreError(message) from error


def outcome_of(source: Source, recipe: Recipe, out: Path) -> SourceOutcome:
    """Make one source ready; an error of ours is what became of it."""
    try:
        return prepare(source, recipe, out)
    except SelfJError as error:
        return error


def on_processes(
    sources: Sequence[Source], recipe: Recipe, out: Path, workers: int
) -> Iterator[tuple[str, SourceOutcome]]:
    """A ``Runner`` of processes of this machine; with one worker, of this process."""
    if workers == 1:
        for source in sources:
            yield source.name, outcome_of(source, recipe, out)
        return
    with worker_processes(workers) as pool:
        # The largest first, so that no worker is left with one at the end.
        order = sorted(sources, key=lambda source: -source.expected)
        tasks: dict[Future[SourceOutcome], str] = {
            pool.submit(outcome_of, source, recipe, out): source.name for source in order
        }
        waiting = set(tasks)
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield tasks[future], future.result()
        except BrokenProcessPool as error:
            raise SelfJError(
                "a worker process died, perhaps because memory ran out; use fewer `workers`. "
                "What was finished is kept: run it again."
            ) from error


def assemble(
    sources: Sequence[Source],
    outcomes: Mapping[str, SourceOutcome],
    recipe: Recipe,
    out: Path,
    *,
    threshold: float = THRESHOLD,
    progress: Progress | None = None,
) -> Collection:
    """Take duplicates out, write ``out/<Category>/<name>.parquet``, and the summary.

    A text goes if an equal or similar one stands earlier, in the order of the sources. What was
    written of the same prepared sources is left as it is.

    Args:
        sources: The sources, in order.
        outcomes: Of ``prepare_all``.
        recipe: As for ``prepare_all``.
        out: The output folder.
        threshold: Least similarity of near duplicates (``find_duplicates``).
        progress: Called with the number of sources that have just been written.

    Returns:
        What was made; its summary stands in ``out/summary.json``, too.

    Raises:
        DataError: If no source is ready.
        StoreError: If something cannot be written.
    """
    ready = [s for s in sources if isinstance(outcomes[s.name], PreparedSource)]
    prepared = {s.name: p for s in ready if isinstance(p := outcomes[s.name], PreparedSource)}
    if not ready:
        reasons = [str(error).rstrip(".") for error in outcomes.values()]
        raise DataError(f"no source is ready: {some(reasons, _SHOWN, '; ')}.")
    key = _key(ready, prepared, threshold)
    report = progress or (lambda _: None)
    results = {s.name: _written(_target(out, s), key) for s in ready}
    if any(result is None for result in results.values()):
        # It speaks of what is about to change.
        (out / "summary.json").unlink(missing_ok=True)
        kind = _kinds([work_file(out, s) for s in ready], out / "work" / "shingles.tmp", threshold)
        start = 0
        for source in ready:
            own = kind[start : start + prepared[source.name].kept]
            start += prepared[source.name].kept
            if results[source.name] is None:
                results[source.name] = _write(source, out, own, key)
            report(1)
    else:
        report(len(ready))
    removed = _remove_others(out, ready)
    rows = tuple(_summarized(s, outcomes[s.name], results.get(s.name)) for s in sources)
    made = _collection(rows, recipe, threshold, removed, out)
    remove_left_over(out / "summary.json")
    write_json(out / "summary.json", made.summary())
    return made


def _kinds(files: Sequence[Path], scratch: Path, threshold: float) -> NDArray[np.uint8]:
    """What becomes of each text of the work files, one file after the other."""
    try:
        try:
            return find_duplicates(read_signatures(files, scratch), threshold=threshold).kind
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        message = f"{scratch} cannot be written: {error.strerror or error}. Is the disk full?"
        raise StoreError(message) from error


def _key(ready: Iterable[Source], prepared: Mapping[str, PreparedSource], threshold: float) -> str:
    parts = [threshold, [[s.name, s.category, prepared[s.name].key] for s in ready]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _target(out: Path, source: Source) -> Path:
    return out / source.category / f"{source.name}.parquet"


def _written(path: Path, key: str) -> dict[str, int] | None:
    """The counts of a finished file, if it was made of the same."""
    note = _note(path)
    return dict(note["counts"]) if note is not None and note["key"] == key else None


def _note(path: Path) -> dict[str, Any] | None:
    """What a finished file says of itself; None if it is none."""
    note = read_note(path, NOTE) or {}
    counts = note.get("counts")
    if "key" not in note or not isinstance(counts, dict) or counts.keys() != _COUNTED:
        return None
    return note if all(type(n) is int for n in counts.values()) else None


def _write(source: Source, out: Path, kind: NDArray[np.uint8], key: str) -> dict[str, int]:
    """Write what is left of a source; returns its counts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    counts = {
        "exact_duplicate": int((kind == EXACT).sum()),
        "near_duplicate": int((kind == NEAR).sum()),
        "kept": int((kind == KEPT).sum()),
    }
    path, start = _target(out, source), 0
    remove_left_over(path)
    with (
        atomic_write(path) as stream,
        pq.ParquetWriter(stream, schema, compression="zstd") as writer,
        pq.ParquetFile(work_file(out, source)) as file,
    ):
        for batch in file.iter_batches(_ROWS, columns=["instruction", "hash"]):
            left = pa.array(kind[start : start + len(batch)] == KEPT)
            start += len(batch)
            kept = batch.filter(left)
            ids = [f"{source.name}-{value.hex()[:20]}" for value in kept["hash"].to_pylist()]
            fixed = [[source.name] * len(kept), [source.category] * len(kept)]
            columns = [pa.array(ids, pa.string()), kept["instruction"], *map(pa.array, fixed)]
            arrays = [column.cast(pa.string()) for column in columns]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        write_note(writer, NOTE, {"key": key, "counts": counts})
    return counts


def _remove_others(out: Path, ready: Sequence[Source]) -> list[str]:
    """Remove files of sources that are not among these any more: the folder is one collection.

    Returns:
        Their names.
    """
    wanted, removed = {_target(out, source) for source in ready}, []
    for category in CATEGORIES:
        for file in sorted((out / category).glob("*.parquet")):
            if file not in wanted and _note(file) is not None:  # others are not ours
                file.unlink()
                removed.append(f"{category}/{file.name}")
    return removed


def _collection(
    rows: tuple[SourceSummary, ...],
    recipe: Recipe,
    threshold: float,
    removed: Sequence[str],
    out: Path,
) -> Collection:
    return Collection(
        kind=KIND,
        kept=sum(row.kept or 0 for row in rows),
        expected=sum(row.expected for row in rows),
        failed=tuple(row.name for row in rows if row.error is not None),
        settings=RunSettings(recipe.filters, recipe.evaluation, recipe.limit, threshold),
        sources=rows,
        versions={"selfj-eval": __version__, "python": platform.python_version()},
        removed=tuple(removed),
        output=printable(out),
    )


def _summarized(
    source: Source, outcome: SourceOutcome, counts: Mapping[str, int] | None
) -> SourceSummary:
    facts = (source.name, source.category, source.expected, source.licence)
    if isinstance(outcome, PreparedSource) and counts is not None:
        dropped = outcome.dropped | {k: n for k, n in counts.items() if k != "kept"}
        return SourceSummary(*facts, outcome.rows, outcome.instructions, dropped, counts["kept"])
    # Names of fields come from the data, and may be no text.
    reason = str(outcome).encode("utf-8", "backslashreplace").decode()
    return SourceSummary(*facts, error=reason)
