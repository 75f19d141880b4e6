"""Which records are taken and which answer replaces another: by hashes, never by chance."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from selfj_eval.errors import SelfJError
from selfj_eval.records.record import Record
from selfj_eval.records.texts import reason_not_text


class AnswerPool:
    """The answers of a set on a circle, placed by a hash of their content.

    Which answer a record meets depends neither on the order of the set nor on a random state,
    and few records meet another one when the set grows.

    Args:
        records: The set.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        placed = {
            _place(r.question, r.response): (r.question, r.response)
            for r in records
            if reason_not_text(r) is None and r.response.strip()
        }
        self._places = sorted(placed)
        self._texts = [placed[place] for place in self._places]
        self._several = len({instruction for instruction, _ in self._texts})
        self._only = self._texts[0][0] if self._several == 1 else None

    def to_another(self, record: Record, seed: int) -> str | None:
        """The next answer on the circle to another instruction; None where there is none."""
        if not self._several or self._only == record.question:
            return None
        start = bisect_left(self._places, _place(str(seed), record.id))
        for step in range(len(self._texts)):
            instruction, response = self._texts[(start + step) % len(self._texts)]
            if instruction != record.question and response != record.response:
                return response
        return None


def chosen(records: Sequence[Record], limit: int | None = None, seed: int = 0) -> list[Record]:
    """At most ``limit`` of the records, by a hash of their ids, in the order of the set.

    Not the first ones: sets are often sorted by model or by instruction.

    Raises:
        SelfJError: If ``limit`` is below 1.
    """
    if limit is None:
        return list(records)
    if limit < 1:
        raise SelfJError(f"the limit of records must be at least 1, got {limit}.")
    order = sorted(range(len(records)), key=lambda i: _place("chosen", str(seed), records[i].id))
    return [records[i] for i in sorted(order[:limit])]


def _place(*texts: str) -> bytes:
    return hashlib.sha256(json.dumps(texts).encode()).digest()
