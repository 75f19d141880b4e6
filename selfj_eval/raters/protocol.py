"""What everything is that rates answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from selfj_eval.records.record import Judgment, Record

Progress = Callable[[int], None]
"""Called with the number of records that have just been finished."""


@runtime_checkable
class Rater(Protocol):
    """Something that rates answers: a ``Judge``, or one of ``selfj_eval.raters``.

    Attributes:
        from_store: How many of the records rated so far had their score in the store.
        failed: How many failed but may succeed on another try, such as those that a server did not
            answer.
    """

    @property
    def from_store(self) -> int: ...

    @property
    def failed(self) -> int: ...

    @property
    def description(self) -> Mapping[str, Any]:
        """What decides the scores: strict JSON, without a path and without a secret."""
        ...

    def judge(
        self, records: Iterable[Record], *, progress: Progress | None = None
    ) -> list[Judgment]:
        """Rate records; one judgment each, in their order. Higher is better.

        Several threads may call it at a time.
        """
        ...


@runtime_checkable
class Preparable(Protocol):
    """A rater whose scores depend on all the records together."""

    def prepare(
        self,
        windows: Callable[[], Iterable[Sequence[Record]]],
        *,
        progress: Progress | None = None,
    ) -> Rater:
        """A rater that has seen all records, and may be given them in portions.

        One that was prepared with others is returned as it is.

        Args:
            windows: Gives them, a list at a time, each time it is called.
            progress: Called as it has seen records.
        """
        ...
