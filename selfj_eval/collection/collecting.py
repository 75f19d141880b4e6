"""The collection from its sources, in one call: what is wanted, who else is at work, the result."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from selfj_eval.collection.options import FilterOptions
from selfj_eval.errors import DataError
from selfj_eval.jobs.options import OptionError, PathLike, keywords, option
from selfj_eval.jobs.progress import Watch, steps

if TYPE_CHECKING:
    from selfj_eval.collection.pipeline import Runner
    from selfj_eval.collection.preparing import Recipe
    from selfj_eval.collection.sources import Source
    from selfj_eval.collection.summary import Collection

_PACKAGES = ("datasets", "datasketch", "py3langid")


@dataclass(frozen=True, kw_only=True)
class CollectOptions(FilterOptions):
    """Which sources, and what becomes of their rows."""

    group_title: ClassVar[str] = "the collection"

    output: PathLike = option(help="folder for the collection", placeholder="DIR")
    origin: PathLike | None = option(
        None,
        "folder with local files of the sources (default: fetch them from the hub)",
        placeholder="DIR",
    )
    sources: tuple[str, ...] | None = option(
        None,
        "collect only these sources (default: all); files of other sources in the folder are "
        "removed",
        placeholder="NAME,NAME",
    )
    source_file: PathLike | None = option(
        None, "YAML file with other sources (default: the 37)", placeholder="FILE"
    )
    evaluation: tuple[str | Path, ...] = option(
        ("alpaca_eval", "mtbench", "vicuna"),
        "evaluation sets, or files of instructions, to keep out of the collection; 'none' keeps "
        "nothing out (default: alpaca_eval,mtbench,vicuna)",
        placeholder="NAME,NAME",
    )
    threshold: float = option(
        0.8,
        "two texts are near duplicates if their Jaccard similarity is at least this",
        low=0.75,
        high=1,
        placeholder="J",
    )
    limit: int | None = option(None, "only the first N rows of each source", low=1)
    workers: int | None = option(None, "how many processes (default: one per core)", low=1)
    engine: str = option(
        "local",
        "what runs the workers: processes on this machine, or Ray on many machines",
        ("local", "ray"),
    )
    progress: Watch = option(False, internal=True)


def run_collection(options: CollectOptions) -> Collection:
    """Make the instruction collection from its sources.

    Each source is read, converted to instructions and filtered, and instructions of evaluation
    sets are dropped. Then duplicates are removed over all sources together. A source that fails is
    named in the result and does not stop the others. Finished work is kept: after an interruption,
    make the same call again to continue.

    Raises:
        DataError: If a source is unknown, an evaluation set is missing, or no source is ready.
        StoreError: If something cannot be written, or another run is at work in the folder.
    """
    from selfj_eval.collection.pipeline import assemble, make_folders, prepare_all
    from selfj_eval.files.locks import alone
    from selfj_eval.jobs.provenance import provenance

    sources = _chosen(options)
    recipe, runner = _recipe(options), _runner(options)
    workers = os.cpu_count() or 1 if options.workers is None else options.workers
    output, start = Path(options.output), time.monotonic()
    make_folders(output)
    with alone(output / "work" / "lock", output, "selfj collect run"):
        with steps(options.progress, len(sources), "prepared", "source") as progress:
            outcomes = prepare_all(
                sources, recipe, output, workers=workers, runner=runner, progress=progress
            )
        with steps(options.progress, len(sources), "written", "source") as progress:
            made = assemble(
                sources, outcomes, recipe, output, threshold=options.threshold, progress=progress
            )
    return replace(made, seconds=time.monotonic() - start, run=provenance(*_PACKAGES))


run = keywords(run_collection, CollectOptions)


def _chosen(options: CollectOptions) -> list[Source]:
    from selfj_eval.collection.sources import load_sources

    sources = load_sources(options.source_file)
    if options.sources is None:
        return list(sources)
    wanted = [name for name in options.sources if name]
    if not wanted:
        raise OptionError("sources", "names no source; omit it for all sources.")
    known = {source.name for source in sources}
    if unknown := [name for name in wanted if name not in known]:
        raise DataError(
            f"no source {unknown[0]!r}; there are: {', '.join(s.name for s in sources)}."
        )
    return [source for source in sources if source.name in wanted]


def _recipe(options: CollectOptions) -> Recipe:
    """What becomes of a row; what every source would fail of is said once, before all reading."""
    from selfj_eval.collection import filters
    from selfj_eval.collection.contamination import load_evaluation_texts
    from selfj_eval.collection.preparing import Recipe

    folder = None if options.origin is None else os.fspath(options.origin)
    if folder is not None and not Path(folder).is_dir():
        raise DataError("is not a folder; give the one that contains the sources.", path=folder)
    given = () if options.evaluation == ("none",) else options.evaluation
    names = tuple(str(name) for name in given if name)
    if given and not names:
        raise OptionError("evaluation", "names nothing; 'none' keeps nothing out.")
    limits = options.part(FilterOptions)
    filters.steps(limits)
    load_evaluation_texts(names)
    if options.engine == "ray":  # its workers have a working folder of their own
        names = tuple(str(Path(n).resolve()) if Path(n).exists() else n for n in names)
        folder = None if folder is None else str(Path(folder).resolve())
    return Recipe(folder, limits, names, options.limit)


def _runner(options: CollectOptions) -> Runner:
    if options.engine == "ray":
        from selfj_eval.collection.on_ray import on_ray

        return on_ray
    from selfj_eval.collection.pipeline import on_processes

    return on_processes
