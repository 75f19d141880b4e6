"""The queue: what is judged together, what is refused, and what is never lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import pytest

from selfj_eval.errors import JudgeError, StoreError
from selfj_eval.records.record import Judgment, Record
from selfj_eval.serving.batching import (
    BusyError,
    JudgingQueue,
    JudgmentsMismatchError,
    StoppingError,
)
from selfj_eval.serving.options import LimitOptions


class Slow:
    """A rater that gives each record the number in its response, once it is let."""

    from_store = failed = 0
    description: ClassVar[dict[str, Any]] = {}

    def __init__(self, seconds: float = 0) -> None:
        self.batches: list[list[str]] = []
        self.go, self.seconds = threading.Event(), seconds
        self.threads: set[int] = set()

    def judge(self, records: Iterable[Record], *, progress: Any = None) -> list[Judgment]:
        given = list(records)
        self.batches.append([record.id for record in given])
        self.threads.add(threading.get_ident())
        assert self.go.wait(20)
        time.sleep(self.seconds)
        for record in given:
            if record.response == "fails":
                raise JudgeError("out of memory with one prompt")
            if record.response == "breaks":
                raise StoreError("the disk is full")
        return [Judgment(r.id, float(r.response), None, None) for r in given]


def records(*numbers: object, of: str = "r") -> list[Record]:
    return [Record(f"{of}{k}", "?", str(number)) for k, number in enumerate(numbers)]


def scores(judgments: list[Judgment]) -> list[float | None]:
    return [judgment.score for judgment in judgments]


@pytest.fixture
def slow() -> Iterator[Slow]:
    rater = Slow()
    yield rater
    rater.go.set()


def queue_of(rater: Slow, **limits: Any) -> JudgingQueue:
    return JudgingQueue(rater, LimitOptions(**limits), lambda *_: None)


def wait_until(holds: Any) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.002)


def test_what_comes_while_the_judge_works_is_judged_together(slow: Slow) -> None:
    queue = queue_of(slow, batch_records=6, batch_wait_ms=0)
    first = queue.submit(records(1, of="a"))
    wait_until(lambda: slow.batches)
    others = [queue.submit(records(k, k + 10, of=name)) for k, name in enumerate("bcde")]
    assert queue.waiting == 8
    slow.go.set()
    assert scores(first.result(20)) == [1]
    assert [scores(own.result(20)) for own in others] == [[0, 10], [1, 11], [2, 12], [3, 13]]
    assert slow.batches == [["a0"], ["b0", "b1", "c0", "c1", "d0", "d1"], ["e0", "e1"]]
    assert slow.threads.isdisjoint({threading.get_ident()}) and len(slow.threads) == 1
    queue.close()


def test_the_first_waits_a_moment_for_company_and_not_longer(slow: Slow) -> None:
    slow.go.set()
    queue = queue_of(slow, batch_records=3, batch_wait_ms=400)
    began = time.monotonic()
    futures = [queue.submit(records(1, of=name)) for name in "ab"]
    assert [scores(own.result(20)) for own in futures] == [[1], [1]]
    assert slow.batches == [["a0", "b0"]]
    assert time.monotonic() - began >= 0.4
    # A full batch waits for nobody.
    queue = queue_of(slow, batch_records=3, batch_wait_ms=10_000)
    began = time.monotonic()
    queue.submit(records(1, 2, 3, of="c")).result(20)
    assert time.monotonic() - began < 5


def test_a_request_larger_than_a_batch_is_judged_in_several(slow: Slow) -> None:
    slow.go.set()
    queue = queue_of(slow, batch_records=4, batch_wait_ms=0)
    assert scores(queue.submit(records(*range(11))).result(20)) == list(range(11))
    assert [len(batch) for batch in slow.batches] == [4, 4, 3]


def test_what_is_given_up_is_not_judged_and_makes_room(slow: Slow) -> None:
    queue = queue_of(slow, max_waiting=4, max_records=4, batch_records=2, batch_wait_ms=0)
    first = queue.submit(records(1, 2, of="a"))
    wait_until(lambda: slow.batches)
    large, later = queue.submit(records(1, 2, 3, of="b")), queue.submit(records(7, of="c"))
    with pytest.raises(BusyError):
        queue.submit(records(8, of="d"))
    assert large.cancel()
    assert queue.waiting == 1
    last = queue.submit(records(5, 6, 7, of="e"))
    first.cancel()  # at work already: nobody wants what comes of it
    slow.go.set()
    assert scores(later.result(20)) == [7]
    assert scores(last.result(20)) == [5, 6, 7]
    assert slow.batches == [["a0", "a1"], ["c0", "e0"], ["e1", "e2"]]


def test_one_given_up_in_the_middle_stops_there(slow: Slow) -> None:
    queue = queue_of(slow, batch_records=2, batch_wait_ms=0)
    large = queue.submit(records(1, 2, 3, 4, 5, of="a"))
    wait_until(lambda: slow.batches)
    large.cancel()
    slow.go.set()
    queue.submit(records(1, of="b")).result(20)
    assert slow.batches == [["a0", "a1"], ["b0"]]


def test_a_record_that_the_judge_cannot_take_is_unscored_and_others_are_not(slow: Slow) -> None:
    slow.go.set()
    queue = queue_of(slow, batch_records=5, batch_wait_ms=10_000)
    good, mixed = queue.submit(records(1, 2, of="a")), queue.submit(records(3, "fails", 4, of="b"))
    assert scores(good.result(20)) == [1, 2]
    found = mixed.result(20)
    assert scores(found) == [3, None, 4]
    assert found[1].error == "out of memory with one prompt"


def test_a_fault_reaches_those_whom_it_concerns_and_the_queue_goes_on(slow: Slow) -> None:
    slow.go.set()
    queue = queue_of(slow, batch_records=2, batch_wait_ms=10_000)
    good, bad = queue.submit(records(1, of="a")), queue.submit(records("breaks", of="b"))
    assert scores(good.result(20)) == [1]
    with pytest.raises(StoreError, match="the disk is full"):
        bad.result(20)
    assert queue.alive and queue.ready
    assert scores(queue.submit(records(5, 6)).result(20)) == [5, 6]


@pytest.mark.parametrize("wrong", ["few", "many", "others", "none"])
def test_judgments_that_nobody_can_assign_are_nobodys(slow: Slow, wrong: str) -> None:
    """A rater that gives too few must not give anybody the score of a neighbour."""
    whole = slow.judge

    def judge(given: Iterable[Record], **more: Any) -> list[Judgment]:
        found = whole(given, **more)
        if found[0].score != 1:
            return found
        return {"few": found[1:], "many": found * 2, "others": found[::-1], "none": []}[wrong]

    slow.judge = judge  # type: ignore[method-assign]
    slow.go.set()
    queue = queue_of(slow, batch_records=4, batch_wait_ms=10_000)
    one, two = queue.submit(records(1, 2, of="a")), queue.submit(records(3, 4, of="b"))
    for future in (one, two):
        with pytest.raises(JudgmentsMismatchError, match=r"\d judgments of 4 records"):
            future.result(20)
    assert scores(queue.submit(records(5, 6, 7, 8)).result(20)) == [5, 6, 7, 8]


def test_what_is_given_up_is_answered_at_once(slow: Slow) -> None:
    queue = queue_of(slow, batch_records=2, batch_wait_ms=0)
    large = queue.submit(records(1, 2, 3, of="a"))
    wait_until(lambda: slow.batches)
    later = queue.submit(records(4, of="b"))
    queue.give_up()
    for future in (large, later):
        with pytest.raises(StoppingError):
            future.result(0)
    queue.close()  # although the judge is still at work
    with pytest.raises(StoppingError):
        queue.submit(records(5))
    slow.go.set()
    wait_until(lambda: not queue.alive)
    assert slow.batches == [["a0", "a1"]]


def test_closing_answers_everything_that_was_taken_and_takes_no_more(slow: Slow) -> None:
    queue = queue_of(slow, batch_records=3, batch_wait_ms=10_000)
    futures = [queue.submit(records(k, of=f"q{k}-")) for k in range(8)]
    closing = threading.Thread(target=queue.close)
    closing.start()
    wait_until(lambda: not queue.ready)
    with pytest.raises(StoppingError):
        queue.submit(records(1))
    slow.go.set()
    closing.join(20)
    assert [scores(own.result(0)) for own in futures] == [[k] for k in range(8)]
    assert not queue.alive


def test_what_would_come_too_late_is_refused_with_the_time_to_wait() -> None:
    rater = Slow(seconds=0.3)
    rater.go.set()
    queue = queue_of(rater, batch_records=1, batch_wait_ms=0, timeout=1.0, max_records=50)
    queue.submit(records(1, of="a")).result(20)
    # 0.3 s for each: with nobody before it, even what cannot be done in time is tried.
    long = queue.submit(records(*range(20), of="b"))
    with pytest.raises(BusyError) as caught:
        queue.submit(records(1, of="c"))
    assert 5 <= caught.value.retry_after <= 8  # 20 times 0.3 s
    long.cancel()
    wait_until(lambda: queue.waiting == 0)
    assert scores(queue.submit(records(4, of="d")).result(20)) == [4]
