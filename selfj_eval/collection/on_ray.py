"""Making sources ready on Ray Data's workers, on one machine or many."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from selfj_eval.collection.pipeline import SourceOutcome, outcome_of
from selfj_eval.collection.preparing import PreparedSource, Recipe
from selfj_eval.collection.sources import Source
from selfj_eval.errors import DataError, SelfJError, StoreError
from selfj_eval.jobs.ray_cluster import ray_cluster

_ERRORS: Mapping[str, type[SelfJError]] = {"StoreError": StoreError}


class _Preparer:
    """A task: one source."""

    def __init__(self, sources: Sequence[Source], recipe: Recipe, out: Path) -> None:
        self._sources, self._recipe, self._out = sources, recipe, out

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        source = self._sources[int(row["item"])]
        outcome = outcome_of(source, self._recipe, self._out)
        if isinstance(outcome, SelfJError):
            value = {"error": type(outcome).__name__, "message": str(outcome)}
        else:
            value = asdict(outcome)
        return {"name": source.name, "value": json.dumps(value)}


def on_ray(
    sources: Sequence[Source], recipe: Recipe, out: Path, workers: int
) -> Iterator[tuple[str, SourceOutcome]]:
    """A ``pipeline.Runner``: each source is a task of Ray Data.

    Where the variable ``RAY_ADDRESS`` names a cluster, its machines are used; they must see the
    folders, of sources and of the output, under the same paths. A source whose worker dies is given
    to another.

    Raises:
        JudgeError: If Ray is not installed, or gives up.
    """
    with ray_cluster():
        from ray.data import from_items

        tasks = from_items(list(range(len(sources))), override_num_blocks=len(sources))
        done = tasks.map(_Preparer(sources, recipe, out.resolve()), num_cpus=1, concurrency=workers)
        for row in done.iter_rows():
            yield row["name"], _outcome(json.loads(row["value"]))


def _outcome(value: dict[str, Any]) -> SourceOutcome:
    if "error" in value:
        return _ERRORS.get(value["error"], DataError)(value["message"])
    return PreparedSource(**value)
