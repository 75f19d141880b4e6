"""Raters that run a model here on rows of tokens, in batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Generic, TypeVar

from selfj_eval.engines.local.batching import Batcher, Scores
from selfj_eval.errors import JudgeError
from selfj_eval.raters.base import MeasureOutcome, StoredRater
from selfj_eval.records.record import Record
from selfj_eval.storage.store import Measure

Row = TypeVar("Row", bound=Sized)


class BatchedRater(StoredRater, Generic[Row]):
    """A rater whose model gives one number for a row of tokens. A subclass sets ``_batcher``."""

    _batcher: Batcher

    @abstractmethod
    def row(self, record: Record) -> tuple[Row, int]:
        """The tokens of a record, and how many of its own were cut.

        Raises:
            JudgeError: If the record cannot be rated.
        """

    @abstractmethod
    def forward(self, rows: Sequence[Row]) -> Scores:
        """The numbers of rows, shape (len(rows), 1)."""

    @abstractmethod
    def outcome(self, measure: Measure) -> MeasureOutcome:
        """What becomes of a record whose number is this one; it need not be finite."""

    def measure(self, records: Sequence[Record]) -> Iterator[Mapping[int, MeasureOutcome]]:
        """Numbers of records, longest rows first; what cannot be rated comes before them."""
        rows: list[Row] = []
        places: list[int] = []
        trimmed: list[int] = []
        failed: dict[int, MeasureOutcome] = {}
        for at, record in enumerate(records):
            try:
                row, cut = self.row(record)
            except JudgeError as error:
                failed[at] = MeasureOutcome(None, str(error))
                continue
            rows.append(row)
            places.append(at)
            trimmed.append(cut)
        if failed:
            yield failed
        for indices, values, _ in self._batcher.run(rows, self.forward):
            yield {
                places[i]: self.outcome(Measure(value, trimmed[i]))
                for i, value in zip(indices, values[:, 0].tolist(), strict=True)
            }
