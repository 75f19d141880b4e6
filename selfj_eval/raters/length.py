"""The null rater: the longer answer is the better one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from selfj_eval.raters.base import MeasureOutcome, StoredRater
from selfj_eval.records.record import Record
from selfj_eval.storage.store import Measure


class LengthRater(StoredRater):
    """Characters of the answer; no model, and so nothing to be kept.

    Args:
        log: Give the natural logarithm of 1 + characters, which Pearson's r sees better.
    """

    def __init__(self, *, log: bool = False) -> None:
        super().__init__({"log": str(log)})
        self._log = log

    def measure(self, records: Sequence[Record]) -> Iterator[Mapping[int, MeasureOutcome]]:
        """Lengths in characters."""
        yield {
            at: MeasureOutcome(Measure(len(record.response))) for at, record in enumerate(records)
        }

    def score(self, value: float) -> float:
        """The length, or its logarithm."""
        return math.log1p(value) if self._log else float(value)
