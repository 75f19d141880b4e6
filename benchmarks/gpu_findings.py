"""What a part of ``gpu.py`` has found so far, in a JSON file that is written as it goes."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from selfj_eval.files.atomic import write_json


class NotRunError(Exception):
    """A part, or a piece of one, cannot run here, through no fault of what it measures."""


class Findings:
    """The JSON file of a part.

    Args:
        path: The file.
        limit: Seconds after which the part is ended from outside.
        **values: What it holds from the start.
    """

    def __init__(self, path: Path, limit: float, **values: Any) -> None:
        self._path, self.limit = path, limit
        self._start = time.monotonic()
        self.values: dict[str, Any] = {"status": "running", **values}
        self.save()

    def save(self, **values: Any) -> None:
        """Take values and write the file; it is whole at any time."""
        self.values |= values
        self.values["seconds"] = round(self.elapsed, 1)
        write_json(self._path, self.values)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def room(self, share: float, needed: float) -> bool:
        """Whether so many seconds are left before a share of the limit has passed."""
        return self.elapsed + needed < share * self.limit


def finite(value: float) -> float | None:
    """A number that JSON can hold."""
    return float(value) if math.isfinite(value) else None
