"""Progress of long work: told to whoever watches, and shown to people."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from selfj_eval.errors import counted, shown
from selfj_eval.jobs.terminal import say


class Step(NamedTuple):
    """How far a part of a job has come.

    Attributes:
        verb: What is done, such as ``judged``.
        done: How many of ``total`` are done.
        total: How many there are; 0 where that is not known.
        unit: What one is called; ``byte`` for bytes.
        ended: Whether this part is over, finished or not.
    """

    verb: str
    done: int
    total: int
    unit: str = "record"
    ended: bool = False


Watch = bool | Callable[[Step], None]
"""Who watches: True for a progress bar on stderr, False for nobody, or a function."""


@contextmanager
def steps(
    watch: Watch, total: int, verb: str, unit: str = "record"
) -> Iterator[Callable[[int], None]]:
    """One part of a job; call what it gives with how many more are done.

    Args:
        watch: Is told where the part begins, of every progress, and where it ends.
        total, verb, unit: As for ``Step``.
    """
    tell = Bar() if watch is True else watch
    done = 0

    def count(finished: int) -> None:
        nonlocal done
        done += finished
        if tell:
            tell(Step(verb, done, total, unit))

    if tell:
        tell(Step(verb, 0, total, unit))
    try:
        yield count
    finally:
        if tell:
            tell(Step(verb, done, total, unit, ended=True))


def size(number: float) -> str:
    """Bytes as people read them."""
    return f"{number / 1e6:,.1f} MB" if number >= 1e5 else f"{number / 1e3:,.1f} kB"


class Bar:
    """A progress bar on a terminal; elsewhere a line every few seconds. One part at a time.

    Args:
        seconds: Between lines.
    """

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._bar: Any = None
        self._told: int | None = None  # how many were done in the last line of this part
        self._start = self._last = time.monotonic()

    def __call__(self, step: Step) -> None:
        """Show how far the work has come."""
        if not step.done and not step.ended:
            self._start = self._last = time.monotonic()
            self._told = None
            if sys.stderr.isatty() and self._bar is None:
                self._open(step)
        if self._bar is not None:
            self._bar.update(step.done - self._bar.n)
        elif step.done and not step.ended and time.monotonic() - self._last >= self._seconds:
            self._line(step)
        elif step.ended and self._told not in (None, step.done):
            self._line(step)  # the last line says where it ended
        if step.ended and self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self, step: Step) -> None:
        from tqdm import tqdm

        number = step.unit == "byte"
        unit = "B" if number else step.unit
        total = step.total or None
        self._bar = tqdm(total=total, unit=unit, desc=shown(step.verb), unit_scale=number)

    def _line(self, step: Step) -> None:
        self._last, self._told = time.monotonic(), step.done
        rate = step.done / max(self._last - self._start, 1e-9)
        of, speed = f"{step.done:,} of {counted(step.total, step.unit)}", f"{rate:.1f}"
        if not step.total:
            of = counted(step.done, step.unit)
        if step.unit == "byte":
            of, speed = f"{size(step.done)} of {size(step.total)}", size(rate)
        say(f"{shown(step.verb)} {of}, {speed} a second", file=sys.stderr)
