"""Making sources ready on Ray Data's workers, on one machine or many."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

from selfj_eval.collection.preparing import Prepared, Recipe
from selfj_eval.collection.running import Outcome, outcome_of
from selfj_eval.collection.sources import Source
from selfj_eval.errors import DataError, JudgeError, SelfJError, StoreError, brief

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
) -> Iterator[tuple[str, Outcome]]:
    """A ``running.Runner``: each source is a task of Ray Data.

    Where the variable ``RAY_ADDRESS`` names a cluster, its machines are used; they must see the
    folders, of sources and of the output, under the same paths. A source whose worker dies is given
    to another.

    Raises:
        JudgeError: If Ray is not installed, or gives up.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        from ray.data import DataContext, from_items
    except ImportError as error:
        raise JudgeError(
            "Ray is not installed; pip install 'selfj-eval[ray]', or leave out --engine ray."
        ) from error
    # Ray prints the deaths of workers to stdout, which is for our results.
    with redirect_stdout(sys.stderr):
        started = not ray.is_initialized()
        if started:
            ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        DataContext.get_current().enable_progress_bars = False
        tasks = from_items(list(range(len(sources))), override_num_blocks=len(sources))
        try:
            done = tasks.map(
                _Preparer(sources, recipe, out.resolve()), num_cpus=1, concurrency=workers
            )
            for row in done.iter_rows():
                yield row["name"], _outcome(json.loads(row["value"]))
        except ray.exceptions.RayError as error:
            raise JudgeError(
                f"Ray gave up: {brief(error).rstrip('.')}. What was finished is kept; run it again."
            ) from error
        finally:
            if started:
                ray.shutdown()


def _outcome(value: dict[str, Any]) -> Outcome:
    if "error" in value:
        return _ERRORS.get(value["error"], DataError)(value["message"])
    return Prepared(**value)
