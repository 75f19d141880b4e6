"""Two means on the same instructions: their difference, and many such differences at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from selfj_eval.jobs.arguments import Numbers, numbers
from selfj_eval.metrics.result import Array, Interval, Metric, paired

POWER = 0.8
"""Chance with which a difference of the detectable size is found."""


class PairedDifference(NamedTuple):
    """How two means differ on n instructions.

    Attributes:
        difference: First minus second, with Student's interval over the instructions.
        standard_error: Of the difference.
        p: Two-sided p-value of "no difference", by the paired t-test; 0 where all differences are
            equal and not 0, None where all are 0.
        detectable: Smallest true difference that n instructions find with probability 0.8.
        needed: So many instructions would find a true difference as large as this one with
            probability 0.8; None where there is no difference.
    """

    difference: Metric
    standard_error: float | None = None
    p: float | None = None
    detectable: float | None = None
    needed: int | None = None


def paired_difference(
    first: Numbers, second: Numbers, *, confidence: float = 0.95
) -> PairedDifference:
    """Difference of two means by instruction (Miller 2024, arXiv 2411.00640).

    The detectable difference is ``(z(1 - (1 - confidence) / 2) + z(0.8))`` standard errors.

    Args:
        first, second: Shape (n,), finite. Mean values of the two on each instruction.
        confidence: Level of the interval.

    Returns:
        The difference; without the rest where n < 2.
    """
    a, b = paired(first, second)
    n = len(a)
    if not n:
        return PairedDifference(Metric(None, 0, "no instruction in common"))
    gaps = a - b
    mean = float(gaps.mean())
    if n < 2:
        return PairedDifference(Metric(mean, n))
    from scipy.stats import norm, t

    error = float(gaps.std(ddof=1)) / math.sqrt(n)
    half = float(t.ppf(0.5 + confidence / 2, n - 1)) * error
    interval = Interval(mean - half, mean + half, confidence, "t, paired")
    found = Metric(mean, n, interval=interval)
    if error <= 1e-12 * max(1.0, float(np.abs(gaps).max())):
        return PairedDifference(found, error, None if mean == 0 else 0.0)
    reach = float(norm.ppf(0.5 + confidence / 2) + norm.ppf(POWER))
    needed = None if mean == 0 else max(2, math.ceil(n * (reach * error / mean) ** 2))
    p = float(2 * t.sf(abs(mean) / error, n - 1))
    return PairedDifference(found, error, p, reach * error, needed)


def holm(p: Numbers) -> Array:
    """p-values adjusted for many claims, none of which may be wrong (Holm 1979).

    Args:
        p: Shape (k,), in [0, 1].

    Returns:
        Shape (k,). A claim holds at level alpha where its value is at most alpha.
    """
    values = numbers(p, "p")
    order = np.argsort(values, kind="stable")
    factor = len(values) - np.arange(len(values))
    adjusted = np.minimum(1.0, np.maximum.accumulate(values[order] * factor))
    found = np.empty(len(values))
    found[order] = adjusted
    return found


def benjamini_hochberg(p: Numbers) -> Array:
    """p-values adjusted so that of the claims at most a share alpha is wrong on average.

    Args:
        p: Shape (k,), in [0, 1].
    """
    from scipy.stats import false_discovery_control

    values = numbers(p, "p")
    found: Array = false_discovery_control(values) if len(values) else values
    return found
