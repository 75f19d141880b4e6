"""The queue: records of many requests, judged together by one worker thread."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from threading import Condition, Thread
from typing import NamedTuple

from selfj_eval.errors import JudgeError
from selfj_eval.raters.protocol import Rater
from selfj_eval.records.record import Judgment, Record
from selfj_eval.serving.options import LimitOptions

Outcome = Judgment | Exception
"""Of a record: its judgment, or what went wrong with the judge itself."""
_KEPT = 0.8  # of what earlier batches count for the speed, at each new one


class BusyError(Exception):
    """There is no room, or no time, for more records.

    Args:
        seconds: When there may be.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"busy for {seconds:.1f} s")
        self.retry_after = max(1, math.ceil(seconds))


class StoppingError(Exception):
    """The queue takes nothing more."""


class JudgmentsMismatchError(Exception):
    """The rater gave other judgments than one for each record, in their order."""


class _Request:
    """Records that are answered together.

    Attributes:
        future: Gets the judgments, in the order of the records.
        outcomes: Those that are known.
        taken: How many of the records have been given to the judge.
        since: When it came.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self.future: Future[list[Judgment]] = Future()
        self.outcomes: list[Outcome] = []
        self.taken = 0
        self.since = time.monotonic()

    @property
    def left(self) -> int:
        """How many of its records have not been given to the judge."""
        return len(self.records) - self.taken

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Note what its next records have come to, and answer once all are known."""
        self.outcomes += outcomes
        if len(self.outcomes) < len(self.records):
            return
        failures = [own for own in self.outcomes if isinstance(own, Exception)]
        with suppress(InvalidStateError):  # given up by who asked
            if failures:
                self.future.set_exception(failures[0])
            else:
                self.future.set_result([o for o in self.outcomes if isinstance(o, Judgment)])


class _Part(NamedTuple):
    """Records of one request that are in a batch."""

    request: _Request
    records: Sequence[Record]


class JudgingQueue:
    """Judges what several callers hand in, in batches, in the order in which it came.

    A batch is formed when ``batch_records`` records wait, or when the oldest has waited for
    ``batch_wait_ms``: so what arrives together is judged together, and behind a batch at work
    nobody waits any longer than for that. A request with more records than a batch is judged in
    several.

    Args:
        rater: The rater; only the worker thread calls it.
        limits: Of batches and of the queue.
        measured: Called with the records of each finished batch and its seconds.
    """

    def __init__(
        self, rater: Rater, limits: LimitOptions, measured: Callable[[int, float], object]
    ) -> None:
        self._rater, self._limits, self._measured = rater, limits, measured
        self._requests: deque[_Request] = deque()
        self._changed = Condition()
        self._closed = self._given_up = False
        self._batch: list[_Part] = []  # the batch at work
        self._seconds = self._records = 0.0  # of the last batches
        self._thread = Thread(target=self._work, name="selfj-judge", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many records wait for the judge."""
        with self._changed:
            return self._waiting()

    @property
    def ready(self) -> bool:
        """Whether more records may wait."""
        with self._changed:
            return self.alive and not self._closed and self._waiting() < self._limits.max_waiting

    @property
    def alive(self) -> bool:
        """Whether there is still somebody who judges."""
        return self._thread.is_alive()

    def submit(self, records: Sequence[Record]) -> Future[list[Judgment]]:
        """Have records judged.

        Args:
            records: At least one, and at most ``max_waiting``.

        Returns:
            What gets their judgments, in their order. To give up, cancel it: what the judge has
            not begun is then not judged.

        Raises:
            BusyError: If too many records wait, or they would probably not be judged in time.
            StoppingError: If the queue is closed.
        """
        request = _Request(records)
        with self._changed:
            if self._closed or not self.alive:
                raise StoppingError
            waiting = self._waiting()
            before = waiting + sum(len(part.records) for part in self._batch)
            each = self._seconds / self._records if self._records else 0.0
            late = (before + len(records)) * each > self._limits.timeout
            # With nobody before it, it is tried even so: only that can show that it is quicker now.
            if waiting + len(records) > self._limits.max_waiting or (before and late):
                raise BusyError(before * each)
            self._requests.append(request)
            self._changed.notify()
        request.future.add_done_callback(partial(self._forget, request))
        return request.future

    def close(self) -> None:
        """Take nothing more, and return when all that was taken is answered, or is given up."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        while self.alive and not self._given_up:
            self._thread.join(0.1)

    def give_up(self) -> None:
        """Take nothing more, and answer at once what was taken: with ``StoppingError``.

        The batch at work is not interrupted; nobody waits for it.
        """
        with self._changed:
            self._closed = self._given_up = True
            left = [*(part.request for part in self._batch), *self._requests]
            self._requests.clear()
        for request in left:
            with suppress(InvalidStateError):  # it was answered, or is in both
                request.future.set_exception(StoppingError())

    def _waiting(self) -> int:
        return sum(request.left for request in self._requests)

    def _forget(self, request: _Request, _: object) -> None:
        """Remove a request that was given up before the judge has begun with all of it."""
        with self._changed, suppress(ValueError):
            self._requests.remove(request)

    def _work(self) -> None:
        while parts := self._next():
            records = [record for part in parts for record in part.records]
            began = time.monotonic()
            outcomes = self._judged(records)
            seconds = time.monotonic() - began
            with self._changed:
                self._batch = []
                self._seconds = _KEPT * self._seconds + seconds
                self._records = _KEPT * self._records + len(records)
            self._measured(len(records), seconds)
            at = 0
            for part in parts:
                part.request.add(outcomes[at : at + len(part.records)])
                at += len(part.records)

    def _next(self) -> list[_Part]:
        """The next batch, when it is time for it; empty when the queue is closed and done."""
        with self._changed:
            while True:
                if not self._requests:
                    if self._closed:
                        return []
                    self._changed.wait()
                    continue
                until = self._requests[0].since + self._limits.batch_wait_ms / 1000
                left = until - time.monotonic()
                full = self._waiting() >= self._limits.batch_records
                if full or left <= 0 or self._closed:
                    return self._take()
                self._changed.wait(left)

    def _take(self) -> list[_Part]:
        parts, room = [], self._limits.batch_records
        while room and self._requests:
            request = self._requests[0]
            records = request.records[request.taken : request.taken + room]
            request.taken += len(records)
            parts.append(_Part(request, records))
            room -= len(records)
            if not request.left:
                self._requests.popleft()
        self._batch = parts
        return parts

    def _judged(self, records: Sequence[Record]) -> list[Outcome]:
        """Judge records; if that fails, one by one, so that each answers only for itself."""
        try:
            judgments = list(self._rater.judge(records))
        except Exception as error:  # whatever it is, the service goes on
            if len(records) > 1 and not self._given_up:
                return [outcome for record in records for outcome in self._judged([record])]
            if isinstance(error, JudgeError) and len(records) == 1:
                return [Judgment(records[0].id, None, None, None, error=str(error))]
            return [error] * len(records)
        if [own.id for own in judgments] != [record.id for record in records]:
            # Nobody can say which judgment is of which record.
            message = f"{len(judgments)} judgments of {len(records)} records, or of other ids"
            return [JudgmentsMismatchError(message)] * len(records)
        return [*judgments]
