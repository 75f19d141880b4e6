"""Judging a folder with Ray Data: workers on one or many machines, each with a judge of its own."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError, JudgeError, SelfJError, StoreError
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.jobs.ray_cluster import ray_cluster
from selfj_eval.judging.files import Survey, Totals
from selfj_eval.judging.partitions import Partition, refuse_empty
from selfj_eval.raters.judge import Judge

_TRIES = 5
"""How often a file is given to another worker when its own dies."""
_ERRORS = {kind.__name__: kind for kind in (DataError, JudgeError, StoreError)}


class _Surveyor:
    """Reads and checks a partition."""

    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._partitions = partitions

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        at = int(row["item"])
        return _outcome(at, lambda: asdict(self._partitions[at].survey()))


class _Scorer:
    """A worker: a judge, loaded once, that is given one partition after the other."""

    def __init__(
        self,
        judge: tuple[str, JudgeOptions, bool],
        partitions: Sequence[Partition],
        surveys: Mapping[int, Survey],
    ) -> None:
        self._partitions, self._surveys = partitions, surveys
        self._asked = judge
        self._judge: Judge | None = None

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return _outcome(int(row["item"]), lambda: self._score(int(row["item"])))

    def _score(self, at: int) -> dict[str, Any]:
        # Not when it is made: Ray would start a worker that fails there again and again.
        if self._judge is None:
            model, options, reference = self._asked
            self._judge = Judge.open(model, options, reference=reference)
        judge = self._judge
        for partition in self._partitions:  # before anything of this judge is written
            partition.check(judge)
        totals = self._partitions[at].score(judge, self._surveys[at])
        return {"totals": asdict(totals), "judge": judge.description}


def score_on_workers(
    partitions: Sequence[Partition],
    model: str,
    options: JudgeOptions,
    *,
    reference: bool,
    workers: int,
    gpus: float,
    watch: Watch,
) -> tuple[Mapping[str, Any], list[Survey], list[Totals]]:
    """Judge partitions on Ray's workers.

    A partition whose worker dies is given to another, which goes on from the store beside the
    output. Where the variable ``RAY_ADDRESS`` names a cluster, its machines are used; they must
    see the folders under the same paths.

    Args:
        partitions: The partitions.
        model, options, reference: As for ``Judge.open``.
        workers: How many judges there are at a time, at most.
        gpus: Accelerators of each.
        watch: Is told of the progress.

    Returns:
        ``Judge.description``, and the survey and the totals of each partition, in order.

    Raises:
        JudgeError: If Ray is not installed, or the judge cannot be loaded.
        DataError, StoreError: As for ``Partition.score``.
    """
    count = len(partitions)
    with ray_cluster():
        import ray
        from ray.data import ActorPoolStrategy, from_items

        tasks = from_items(list(range(count)), override_num_blocks=count)
        worker: Any = _Scorer  # Ray makes one in each process
        resources: Any = ray.cluster_resources()  # type: ignore[no-untyped-call]
        if gpus > (there := resources.get("GPU", 0)):
            raise JudgeError(
                f"`worker_gpus` {gpus:g} is more than Ray has ({there:g}); leave it out to "
                "judge on CPUs."
            )
        surveys: dict[int, Survey] = {}
        with steps(watch, count, "checked", "file") as progress:
            for at, value in _values(tasks.map(_Surveyor(partitions), num_cpus=1).iter_rows()):
                surveys[at] = Survey(**value)
                progress(1)
        refuse_empty(list(surveys.values()), partitions[0].source.path.parent)
        with warnings.catch_warnings():  # of max_task_retries, until Ray 2.64
            warnings.simplefilter("ignore")
            scored = tasks.map(
                worker,
                fn_constructor_args=[(model, options, reference), partitions, surveys],
                # One file at a time, so that no worker waits while another has two.
                compute=ActorPoolStrategy(
                    size=min(workers, count), max_tasks_in_flight_per_actor=1
                ),
                num_gpus=gpus or None,
                num_cpus=1,
                max_task_retries=_TRIES,
            )
        totals: dict[int, Totals] = {}
        description: Mapping[str, Any] = {}
        with steps(watch, sum(s.records for s in surveys.values()), "judged", "record") as progress:
            for at, value in _values(scored.iter_rows()):
                totals[at], description = Totals(**value["totals"]), value["judge"]
                progress(totals[at].records)
    order = range(count)
    return description, [surveys[at] for at in order], [totals[at] for at in order]


def _outcome(at: int, job: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A row for Ray: the job's value, or the error that stopped it."""
    try:
        return {"at": at, "value": json.dumps(job()), "error": "", "message": ""}
    except SelfJError as error:
        return {"at": at, "value": "", "error": type(error).__name__, "message": str(error)}


def _values(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What ``_outcome`` gave.

    Raises:
        SelfJError: The first error.
    """
    for row in rows:
        if row["error"]:
            raise _ERRORS.get(row["error"], SelfJError)(row["message"])
        yield int(row["at"]), json.loads(row["value"])
