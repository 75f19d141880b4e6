"""Options of the service: what it judges with, what it takes, where it listens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.evaluation.policy import Policy
from selfj_eval.jobs.options import Options, PathLike, like, option
from selfj_eval.judging.options import RATERS, WorkerOptions
from selfj_eval.judging.options import RatingOptions as JudgedOptions
from selfj_eval.raters.protocol import Rater

_MEBIBYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class LimitOptions(Options):
    """How much the service takes, and how it forms batches."""

    group_title: ClassVar[str] = "limits and batches"

    max_records: int = option(
        256, "largest number of records in one request; more are refused (413)", low=1
    )
    max_body: int = option(
        4 * _MEBIBYTE,
        "largest size of a request's body in bytes; a larger one is refused (413)",
        low=1024,
    )
    max_waiting: int = option(
        1024, "largest number of waiting records; requests beyond it are refused (429)", low=1
    )
    timeout: float = option(
        60.0,
        "longest time for a request in seconds, from its first byte to its answer; a request "
        "that would probably take longer is refused at once (429), and one that does take longer "
        "gets 504",
        low=0.05,
        high=86_400,
    )
    batch_records: int = option(
        64, "largest number of records that the judge gets at a time", low=1
    )
    batch_wait_ms: float = option(
        10.0,
        "how long a request waits for others to share its batch, in milliseconds",
        low=0,
        high=1e4,
    )

    def check(self) -> None:
        """Refuse limits of which one makes another useless."""
        super().check()
        held = f"must be at least `max_records` ({self.max_records})"
        self.need(self.max_waiting >= self.max_records, "max_waiting", held)


@dataclass(frozen=True, kw_only=True)
class ApplicationOptions(LimitOptions, JudgeOptions):
    """What the application needs, wherever it runs."""

    group_title: ClassVar[str] = Options.group_title

    judge: str | Path | Rater = option(help=RATERS, placeholder="JUDGE")
    policy: str | Path | Policy | None = option(
        None,
        "policy from `selfj select` that decides which answers are accepted; it must have been "
        "made on this judge's scores",
        placeholder="FILE",
    )
    reference: bool = like(JudgedOptions, "reference")
    store: PathLike | None = option(
        None,
        "file that keeps judgments, so that no answer is judged twice (default: none are kept)",
        placeholder="FILE",
    )
    log_texts: bool = option(False, "also log the texts of requests; by default, none are logged")


@dataclass(frozen=True, kw_only=True)
class ServeOptions(ApplicationOptions):
    """How a judge is served by one process."""

    host: str = option("127.0.0.1", "address to listen on; any other address needs a token")
    port: int = option(8000, "port to listen on; 0 takes a free one", low=0, high=65_535)


@dataclass(frozen=True, kw_only=True)
class ReplicaOptions(ApplicationOptions):
    """How a judge is served by Ray Serve."""

    workers: int | None = like(WorkerOptions, "workers")
    worker_gpus: float | None = like(WorkerOptions, "worker_gpus")

    def check(self) -> None:
        """Refuse a store: several replicas, also on several machines, cannot share the file."""
        super().check()
        self.need(self.store is None, "store", "is for a service in one process; leave it out")

    @property
    def resources(self) -> dict[str, Any]:
        """What Ray reserves for each replica."""
        return {"num_cpus": 1, "num_gpus": self.worker_gpus or 0}
