"""What a rater is, and the part that most of them share: a number an answer, kept in a store."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from threading import RLock
from typing import Any, NamedTuple

from selfj_eval.jobs.arguments import items
from selfj_eval.raters.prompting import WINDOW
from selfj_eval.raters.protocol import Progress
from selfj_eval.records.record import Judgment, Record
from selfj_eval.records.texts import reason_not_text
from selfj_eval.storage.resume import resume
from selfj_eval.storage.store import Measure, MeasureStore


class MeasureOutcome(NamedTuple):
    """What became of one record.

    Attributes:
        measure: Its number, or None.
        reason: Why there is none.
    """

    measure: Measure | None
    reason: str | None = None


class StoredRater(ABC):
    """A rater that measures records one by one, resumably. It serves one thread at a time.

    Args:
        identity: What decides the numbers (weights, settings, ...): part of the key under which
            they are stored. No path, no secret.
        reference: Whether it looks at the reference. A record without one is unscored then.
        store: Where numbers are looked up and kept.

    Attributes:
        identity, reference: As given.
        from_store, failed: As for ``Rater``.
    """

    def __init__(
        self,
        identity: Mapping[str, str],
        *,
        reference: bool = False,
        store: MeasureStore | None = None,
    ) -> None:
        self.identity = dict(identity)
        self.reference = reference
        self.from_store = 0
        self.failed = 0
        self._store = store
        self._lock = RLock()  # held while it rates: a subclass may keep what belongs to one call
        self._context = hashlib.sha256(
            json.dumps([type(self).__name__, sorted(self.identity.items()), reference]).encode()
        ).digest()

    @abstractmethod
    def measure(self, records: Sequence[Record]) -> Iterator[Mapping[int, MeasureOutcome]]:
        """Measure records, none of which has a ``reason``; yields what has been finished.

        Args:
            records: At most ``WINDOW``, no two alike.

        Yields:
            Outcomes by position in ``records``, each position once.
        """

    def score(self, value: float) -> float:
        """The score that a stored number stands for, higher for a better answer."""
        return value

    def reason(self, record: Record) -> str | None:
        """Why a record cannot be rated, or None."""
        if self.reference and record.reference is None:
            where = f"{record.where}: " if record.where else ""
            return f"{where}has no reference, which this rater compares answers with."
        return reason_not_text(record)

    @property
    def description(self) -> dict[str, Any]:
        """What decides the scores, for the record: strict JSON."""
        return {"rater": type(self).__name__, "reference": self.reference} | self.identity

    def key(self, record: Record) -> bytes:
        """Key of a record's number in a store: 32 bytes, by content, not by id or place."""
        texts = [record.question, record.response]
        texts += [record.reference or ""] if self.reference else []
        return hashlib.sha256(self._context + json.dumps(texts).encode()).digest()

    def judge(
        self, records: Iterable[Record], *, progress: Progress | None = None
    ) -> list[Judgment]:
        """Rate records.

        Args:
            records: The records.
            progress: Called as records finish; stored ones and those that cannot be rated count
                at once.

        Returns:
            One judgment a record, in their order; a failed one has an error and no score.

        Raises:
            TypeError: If ``records`` is not an iterable of ``Record``.
        """
        with self._lock:
            return self._judge(items(records, Record, "judge()"), progress)

    def _judge(self, records: Sequence[Record], progress: Progress | None) -> list[Judgment]:
        errors = [self.reason(record) for record in records]
        keys = [b"" if e else self.key(r) for r, e in zip(records, errors, strict=True)]
        reasons: dict[bytes, str] = {}

        def run(left: Mapping[bytes, int]) -> Iterator[dict[bytes, Measure]]:
            waiting = iter(left.items())
            while window := list(islice(waiting, WINDOW)):
                for outcomes in self.measure([records[at] for _, at in window]):
                    done = {}
                    for at, (measure, reason) in outcomes.items():
                        if measure is not None and math.isfinite(measure.value):
                            done[window[at][0]] = measure
                        else:
                            reasons[window[at][0]] = reason or "the rater gave no finite number."
                    if self._store is not None:
                        self._store.put(done)
                    yield done
                    if progress is not None:  # what failed is finished, too
                        progress(len(outcomes) - len(done))

        found, stored = resume(keys, self._store, run, progress)
        self.from_store += stored
        judgments = []
        for record, key, error in zip(records, keys, errors, strict=True):
            if key in found:
                value, trimmed = found[key]
                own = (None, None, None, self.reference, trimmed)
                judgments.append(Judgment(record.id, self.score(value), *own))
                continue
            if error is None:
                self.failed += 1
                where = f"{record.where}: " if record.where else ""
                error = where + reasons[key]
            judgments.append(Judgment(record.id, None, None, None, error))
        return judgments
