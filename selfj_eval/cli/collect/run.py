"""``selfj collect run``: the instruction collection from its sources."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.evaluating import table
from selfj_eval.cli.numbers import whole
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.cli.provenance import provenance
from selfj_eval.errors import DataError, StoreError, printable
from selfj_eval.terminal import say, shown

if TYPE_CHECKING:
    from selfj_eval.collection.filters import FilterSettings
    from selfj_eval.collection.sources import Source

_LIMITS = ("min_tokens", "max_tokens", "min_characters", "max_characters")
_SHOWN = 10  # failures
_EPILOG = """examples:
  selfj collect run --out collection                       # all 37 sources from the hub
  selfj collect run --out collection --from downloads      # from JSONL or Parquet: downloads/NAME/
  selfj collect run --out collection --sources mbpp,qasc --evaluation none

Each source is read, converted to instructions in their original wording, filtered, and kept out
where it holds an instruction of an evaluation set; then exact and near duplicates go, of all
sources together, the earlier one stays. Written: OUT/Common, OUT/Coding and OUT/Academic with a
Parquet file a source (id, instruction, source, category), and OUT/summary.json with the counts of
every step beside the published ones. The steps: docs/collection.md.

A finished source is kept in OUT/work: after an interruption run the same command again, and the
files come out the same. A source that fails is named and does not stop the others.
Exit status: 0, 1 when a source failed, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "run",
        help="make the collection from its sources",
        description="Make the instruction collection from its 37 sources.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="folder of the collection")
    add("--from", dest="folder", metavar="DIR", help="local files of the sources (default: hub)")
    add(
        "--sources",
        metavar="NAMES",
        help="the collection is of these only, with commas between (default: all); files of others "
        "in OUT are removed",
    )
    add("--source-file", metavar="FILE", help="YAML of sources (default: the 37)")
    add(
        "--evaluation",
        default="alpaca_eval,mtbench,vicuna",
        metavar="NAMES",
        help="evaluation sets, or files of instructions, that are kept out; none for none "
        "(default: alpaca_eval,mtbench,vicuna)",
    )
    for name in _LIMITS:
        add(f"--{name.replace('_', '-')}", type=whole, metavar="N", help="limit of an instruction")
    add("--language", help="wanted language, ISO 639-1 (default: en)")
    add(
        "--threshold",
        type=float,
        default=0.8,
        metavar="J",
        help="Jaccard similarity from which on two texts are near duplicates (default: 0.8)",
    )
    add("--limit", type=whole, metavar="N", help="only the first N rows of each source")
    add("--workers", type=whole, metavar="N", help="processes (default: one a core)")
    add(
        "--engine",
        default="local",
        choices=["local", "ray"],
        help="what runs the workers: processes here, or Ray on many machines (default: local)",
    )
    add("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the collection; returns the exit status."""
    from selfj_eval.collection.contamination import load_evaluation_texts
    from selfj_eval.collection.filters import steps
    from selfj_eval.collection.preparing import Recipe
    from selfj_eval.collection.running import assemble, on_processes, prepare_all
    from selfj_eval.collection.sources import load_sources

    workers = os.cpu_count() or 1 if options.workers is None else options.workers
    if workers < 1 or (options.limit is not None and options.limit < 1):
        raise DataError("--workers and --limit must be at least 1.")
    if not 0.75 <= options.threshold <= 1:
        raise DataError(f"--threshold must lie between 0.75 and 1, got {options.threshold:g}.")
    sources = _chosen(load_sources(options.source_file), options.sources)
    if options.folder is not None and not Path(options.folder).is_dir():
        raise DataError("is no folder; give the one that holds the sources.", path=options.folder)
    filters = _filters(options)
    names = () if options.evaluation == "none" else tuple(_split(options.evaluation))
    if not names and options.evaluation != "none":
        raise DataError("--evaluation names nothing; none means that nothing is kept out.")
    recipe = Recipe(options.folder, filters, names, options.limit)
    # What every source would fail of is said once, before anything is read.
    steps(filters)
    load_evaluation_texts(names)
    runner = on_processes
    if options.engine == "ray":
        from selfj_eval.collection.on_ray import on_ray

        runner = on_ray
        # Its workers have a working folder of their own.
        files = tuple(str(Path(n).resolve()) if Path(n).exists() else n for n in names)
        local = None if options.folder is None else str(Path(options.folder).resolve())
        recipe = Recipe(local, filters, files, options.limit)
    out, start = Path(options.out), time.monotonic()
    with _alone(out):
        with ProgressLine(len(sources), "prepared", "source") as progress:
            outcomes = prepare_all(
                sources, recipe, out, workers=workers, runner=runner, progress=progress
            )
        with ProgressLine(len(sources), "written", "source") as progress:
            summary = assemble(
                sources, outcomes, recipe, out, threshold=options.threshold, progress=progress
            )
    if options.json:
        say(json.dumps(summary | provenance(options, "datasets", "datasketch", "py3langid")))
    else:
        _print(summary, out, time.monotonic() - start)
    return int(bool(summary["failed"]))


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """No other run writes into the folder meanwhile.

    Raises:
        StoreError: If one does.
    """
    import filelock

    from selfj_eval.collection.running import make_folders

    make_folders(out)
    lock = filelock.FileLock(out / "work" / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        message = f"{out}: another `selfj collect run` is at work there; wait until it has ended."
        raise StoreError(message) from error
    try:
        yield
    finally:
        lock.release()


def _chosen(sources: Sequence[Source], names: str | None) -> list[Source]:
    if names is None:
        return list(sources)
    wanted = _split(names)
    if not wanted:
        raise DataError("--sources names no source; leave it out for all.")
    known = {source.name for source in sources}
    if unknown := [name for name in wanted if name not in known]:
        raise DataError(
            f"no source {unknown[0]!r}; there are: {', '.join(s.name for s in sources)}."
        )
    return [source for source in sources if source.name in wanted]


def _filters(options: argparse.Namespace) -> FilterSettings:
    from selfj_eval.collection.filters import FilterSettings

    given = {name: getattr(options, name) for name in (*_LIMITS, "language")}
    return FilterSettings(**{name: value for name, value in given.items() if value is not None})


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _print(summary: Mapping[str, Any], out: Path, seconds: float) -> None:
    rows: list[tuple[str, ...]] = [("source", "rows", "instructions", "dropped", "kept", "paper's")]
    dropped: dict[str, int] = {}
    for source in summary["sources"]:
        expected = f"{source['expected']:,}"
        if "error" in source:
            rows.append((source["name"], "-", "-", "-", "FAILED", expected))
            continue
        numbers = (source["rows"], source["instructions"], sum(source["dropped"].values()))
        shown_numbers = [f"{n:,}" for n in (*numbers, source["kept"])]
        rows.append((source["name"], *shown_numbers, expected))
        for name, count in source["dropped"].items():
            dropped[name] = dropped.get(name, 0) + count
    total = ("all", "", "", f"{sum(dropped.values()):,}", f"{summary['kept']:,}")
    say(table([*rows, (*total, f"{summary['expected']:,}")]))
    say("\ndropped by step")
    say(table([(name, f"{count:,}") for name, count in dropped.items()]))
    failed = [source for source in summary["sources"] if "error" in source]
    for source in failed[:_SHOWN]:
        say(f"  FAILED {source['name']}: {shown(source['error'])}")
    if len(failed) > _SHOWN:
        say(f"  ... and {len(failed) - _SHOWN} more that failed, in summary.json")
    if summary["removed"]:
        say(f"  removed, of sources that failed or were not named: {', '.join(summary['removed'])}")
    say(f"written to {printable(out)}: summary.json; this run took {seconds:.0f} s")
