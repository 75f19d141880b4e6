"""What is counted for ``/metrics``, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

from selfj_eval import __version__
from selfj_eval.records.record import Judgment

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Measures:
    """Counters of one application.

    Args:
        judge: The judge's name.
        waiting: Says how many records wait.
    """

    def __init__(self, judge: str, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        about = Info("selfj", "What is served", registry=self._registry)
        about.info({"version": __version__, "judge": judge})
        self._requests = self._counter("requests", "Requests, by path and status", "path", "status")
        self._request_seconds = self._histogram("request_seconds", "Seconds", _SECONDS, "path")
        self._records = self._counter("records", "Records answered, by outcome", "outcome")
        self._decisions = self._counter("decisions", "Decisions of the policy", "decision")
        self._batch_records = self._histogram("batch_records", "Records in a batch", _SIZES)
        self._batch_seconds = self._histogram("batch_seconds", "Seconds for a batch", _SECONDS)
        gauge = Gauge("selfj_waiting_records", "Records that wait", registry=self._registry)
        gauge.set_function(waiting)
        for outcome in ("scored", "unscored"):  # there from the start, as 0
            self._records.labels(outcome)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(path, status).inc()
        self._request_seconds.labels(path).observe(seconds)

    def batch(self, records: int, seconds: float) -> None:
        """Count a batch that was judged."""
        self._batch_records.observe(records)
        self._batch_seconds.observe(seconds)

    def judged(self, judgments: Iterable[Judgment]) -> None:
        """Count judgments that are given out."""
        for judgment in judgments:
            self._records.labels("unscored" if judgment.score is None else "scored").inc()

    def decided(self, decisions: Iterable[str]) -> None:
        """Count decisions that are given out."""
        for decision in decisions:
            self._decisions.labels(decision).inc()

    def page(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)

    def total(self, name: str, **labels: str) -> int:
        """The sum of a counter, such as ``requests``, over the labels that are not given."""
        return round(
            sum(
                sample.value
                for family in self._registry.collect()
                for sample in family.samples
                if sample.name == f"selfj_{name}_total" and labels.items() <= sample.labels.items()
            )
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"selfj_{name}", text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"selfj_{name}", text, labels, buckets=buckets, registry=self._registry)
