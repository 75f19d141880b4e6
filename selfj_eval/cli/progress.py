"""Progress of long work, for people."""

from __future__ import annotations

import sys
import time
from typing import Any

from selfj_eval.cli.guard import stop_if_asked


def size(number: float) -> str:
    """Bytes as people read them."""
    return f"{number / 1e6:,.1f} MB" if number >= 1e5 else f"{number / 1e3:,.1f} kB"


class ProgressLine:
    """A progress bar on a terminal; elsewhere a line every few seconds.

    Args:
        total: How many there are to do.
        verb: What is done to them.
        unit: What one is called; ``byte`` is counted in kilobytes and megabytes.
        seconds: Between lines.
    """

    def __init__(self, total: int, verb: str, unit: str = "record", seconds: float = 5.0) -> None:
        self._total, self._verb, self._unit, self._seconds = total, verb, unit, seconds
        self._bytes = unit == "byte"
        self._done = 0
        self._start = self._last = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> ProgressLine:
        if sys.stderr.isatty():
            from tqdm import tqdm

            unit = "B" if self._bytes else self._unit
            self._bar = tqdm(total=self._total, unit=unit, desc=self._verb, unit_scale=self._bytes)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, finished: int) -> None:
        """Count ``finished`` more.

        Raises:
            Stopped: If the command was asked to end.
        """
        stop_if_asked()
        self._done += finished
        if self._bar is not None:
            self._bar.update(finished)
            return
        now = time.monotonic()
        if self._done and now - self._last >= self._seconds:
            self._last = now
            rate = self._done / (now - self._start)
            of, speed = f"{self._done:,} of {self._total:,} {self._unit}s", f"{rate:.1f}"
            if self._bytes:
                of, speed = f"{size(self._done)} of {size(self._total)}", size(rate)
            print(f"{self._verb} {of}, {speed} a second", file=sys.stderr, flush=True)
