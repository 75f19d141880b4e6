"""What people see of long work, and what a program is told of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from selfj_eval.jobs.progress import Bar, Step, steps


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_bytes_are_shown_in_units_that_can_be_read(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    with steps(Bar(seconds=0), 723_469_398, "fetching", "byte") as progress:
        progress(361_734_699)
    shown = stream.getvalue()
    expected = "362M/723M" if stream.isatty() else "fetching 361.7 MB of 723.5 MB, "
    assert expected in shown
    assert "361" not in shown.replace("361.7 MB", "")


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_records_are_shown_to_the_last_one(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    bar = Bar(seconds=0)
    for verb in ("read", "judged"):  # one part of the work after the other
        with steps(bar, 4_001, verb) as progress:
            progress(1_234)
    for verb in ("read", "judged"):
        expected = "1234/4001" if stream.isatty() else f"{verb} 1,234 of 4,001 records, "
        assert expected in stream.getvalue() and verb in stream.getvalue()


def test_a_function_is_told_every_step_and_the_end_also_after_an_error() -> None:
    told: list[Step] = []

    @contextmanager
    def failing() -> Iterator[None]:
        with pytest.raises(ZeroDivisionError):
            yield

    with failing(), steps(told.append, 3, "judged") as progress:
        progress(2)
        raise ZeroDivisionError
    assert told == [
        Step("judged", 0, 3),
        Step("judged", 2, 3),
        Step("judged", 2, 3, ended=True),
    ]


def test_nobody_sees_what_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with steps(False, 3, "judged") as progress:
        progress(3)
    assert capsys.readouterr() == ("", "")


def test_what_goes_back_to_nothing_is_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that failed and begins again."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    bar = Bar()
    for done in (0, 0, 5, 0, 10):
        bar(Step("fetched", done, 10, "byte"))
    bar(Step("fetched", 10, 10, "byte", ended=True))
    assert bar._bar is None
    assert stream.getvalue().count("\n") == 1  # of the one bar, where it ends


def test_the_last_line_says_where_the_work_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step of a bootstrap may be slow, and all others take less than a line's time."""
    now = iter([0.0, 0.0, *[6.0] * 4, *[7.0] * 5_000])
    monkeypatch.setattr("selfj_eval.jobs.progress.time.monotonic", lambda: next(now))
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with steps(Bar(), 1_080, "evaluated", "resample") as progress:
        for _ in range(1_080):
            progress(1)
    first, last = stream.getvalue().splitlines()
    assert first.startswith("evaluated 1 of 1,080 resamples, ")
    assert last.startswith("evaluated 1,080 of 1,080 resamples, ")


def test_short_work_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with steps(Bar(), 3, "judged") as progress:
        progress(3)
    assert not stream.getvalue()


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_work_whose_end_is_not_known_counts_what_is_done(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    with steps(Bar(seconds=0), 0, "read", "answer") as progress:
        progress(1_234)
    shown = stream.getvalue()
    assert ("1234answer" if stream.isatty() else "read 1,234 answers, ") in shown
    assert "of 0" not in shown and "%" not in shown
