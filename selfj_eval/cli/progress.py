"""Progress of long work, for people."""

from __future__ import annotations

import sys
import time
from typing import Any


class ProgressLine:
    """A progress bar on a terminal; elsewhere a line every few seconds."""

    def __init__(self, total: int, verb: str, unit: str = "record", seconds: float = 5.0) -> None:
        self._total, self._verb, self._unit, self._seconds = total, verb, unit, seconds
        self._done = 0
        self._start = self._last = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> ProgressLine:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, unit=self._unit, desc=self._verb)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, finished: int) -> None:
        """Count ``finished`` more."""
        self._done += finished
        if self._bar is not None:
            self._bar.update(finished)
            return
        now = time.monotonic()
        if self._done and now - self._last >= self._seconds:
            self._last = now
            rate = self._done / (now - self._start)
            of = f"{self._done:,} of {self._total:,} {self._unit}s"
            print(f"{self._verb} {of}, {rate:.1f} a second", file=sys.stderr, flush=True)
