"""The result of a metric: a number, or the reason why there is none."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import counted
from selfj_eval.jobs.arguments import Numbers, numbers

Array = npt.NDArray[np.float64]
FEWEST_UNITS = 30
"""Of answers or instructions: with fewer, intervals are rough and t-tests are left out."""


class Interval(NamedTuple):
    """A confidence interval.

    Attributes:
        low, high: Its ends.
        confidence: Its level, in (0, 1).
        method: How it was computed, such as ``fisher`` or ``bca``.
    """

    low: float
    high: float
    confidence: float
    method: str


class Metric(NamedTuple):
    """A metric's value.

    Attributes:
        value: The number, or None where the metric is undefined.
        n: Number of records it was computed on.
        undefined: Why there is no value; None when there is one.
        interval: Its confidence interval, or None where there is none.
    """

    value: float | None
    n: int
    undefined: str | None = None
    interval: Interval | None = None

    @property
    def low(self) -> float | None:
        """Lower end of the interval, if there is one."""
        return None if self.interval is None else self.interval.low

    @property
    def high(self) -> float | None:
        """Upper end of the interval, if there is one."""
        return None if self.interval is None else self.interval.high

    def to_dict(self) -> dict[str, Any]:
        """As it stands in JSON: ``low``, ``high`` and ``method`` only where it has an interval."""
        found = {"value": self.value, "n": self.n, "undefined": self.undefined}
        if self.interval is not None:
            found |= {"low": self.low, "high": self.high, "method": self.interval.method}
        return found


def paired(x: Numbers, y: Numbers) -> tuple[Array, Array]:
    """Two arrays as float64, checked.

    Raises:
        TypeError: If one holds something that is no number.
        ValueError: If they are not one-dimensional, differ in length, or hold NaN or infinity.
    """
    a, b = numbers(x, "the first array"), numbers(y, "the second array")
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"expected two arrays of shape (n,), got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("NaN or infinity; leave unscored records out, and count them")
    return a, b


def no_spread(values: Array, name: str) -> str | None:
    """Why ``values`` cannot be correlated with anything, or None.

    Values that differ by less than rounding (1e-12 of their size) count as equal: a
    correlation with them would be made of rounding errors.
    """
    if len(values) < 2:
        return f"only {counted(len(values), 'scored record')}; at least 2 are needed"
    scale = float(np.abs(values).max())
    if float(np.ptp(values)) <= 1e-12 * max(scale, 1e-300):
        return f"all {len(values)} {name} are equal ({values[0]:g})"
    return None
