"""Two means on the same instructions: their difference, and many such differences at once."""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from selfj_eval.jobs.arguments import Numbers, numbers
from selfj_eval.metrics.proportions import quantile
from selfj_eval.metrics.result import Array, Interval, Metric, paired

POWER = 0.8
_LARGEST = 1e5  # critical value of t
"""Chance with which a difference of the detectable size is found."""
_MOST = 100
"""Numbers of instructions beyond so many times the present one are not named."""


class PairedDifference(NamedTuple):
    """How two means differ on n instructions.

    Attributes:
        difference: First minus second, with Student's interval over the instructions. It has none
            with fewer than two instructions, or if the differences of all instructions are equal.
        standard_error: Of the difference; None where there is no interval.
        p: Two-sided p-value of "no difference", by the paired t-test; None where there is no
            interval, because nothing can be tested.
    """

    difference: Metric
    standard_error: float | None = None
    p: float | None = None


def paired_difference(
    first: Numbers, second: Numbers, *, confidence: float = 0.95
) -> PairedDifference:
    """Difference of two means by instruction (Miller 2024, arXiv 2411.00640).

    Args:
        first, second: Shape (n,), finite. Mean values of the two on each instruction.
        confidence: Level of the interval.

    Returns:
        The difference; undefined where n is 0. Differences that vary by no more than rounding
        (1e-12 of the values' size) count as equal.
    """
    a, b = paired(first, second)
    n = len(a)
    if not n:
        return PairedDifference(Metric(None, 0, "no instruction in common"))
    gaps = a - b
    mean = float(gaps.mean())
    rounding = 1e-12 * float(max(np.abs(a).max(), np.abs(b).max()))
    if float(np.ptp(gaps)) <= rounding:
        return PairedDifference(Metric(mean if abs(mean) > rounding else 0.0, n))
    from scipy.stats import t

    error = float(gaps.std(ddof=1)) / math.sqrt(n)
    half = quantile(confidence, n - 1) * error
    interval = Interval(mean - half, mean + half, confidence, "t, paired")
    p = float(2 * t.sf(abs(mean) / error, n - 1))
    return PairedDifference(Metric(mean, n, interval=interval), error, p)


def detectable_difference(found: PairedDifference, alpha: float) -> float | None:
    """The smallest true difference that as many instructions find with probability 0.8.

    It is found if the paired t-test's p-value is at most alpha. The differences are taken to be
    normal, and to vary as they do here.

    Args:
        found: A difference.
        alpha: In (0, 1). Where k differences are tested, alpha / k: Holm's test finds at least what
            is found so.

    Returns:
        Above 0; None where nothing can be tested, or so few instructions can find nothing.
    """
    if found.standard_error is None:
        return None
    errors = _errors(found.difference.n, alpha)
    return errors * found.standard_error if math.isfinite(errors) else None


def needed_instructions(found: PairedDifference, alpha: float) -> int | None:
    """How many instructions would find a true difference as large as this with probability 0.8.

    Args:
        found, alpha: As for ``detectable_difference``.

    Returns:
        At least 2; None where nothing can be tested, there is no difference, or more than 100 times
        as many instructions would be needed.
    """
    mean, n = found.difference.value, found.difference.n
    if found.standard_error is None or not mean:
        return None
    size = abs(mean) / found.standard_error / math.sqrt(n)  # in standard deviations
    counts = range(2, _MOST * n + 1)
    at = bisect_left(counts, True, key=lambda k: size * math.sqrt(k) >= _errors(k, alpha))
    return counts[at] if at < len(counts) else None


@lru_cache(maxsize=1024)
def _errors(n: int, alpha: float) -> float:
    """The true difference, in standard errors, that n instructions find with probability 0.8.

    Infinite where so few cannot find any that is of use, for which scipy searches for minutes.
    """
    from scipy.special import nctdtrinc
    from scipy.stats import t

    critical = t.isf(alpha / 2, n - 1)
    return math.inf if critical > _LARGEST else float(nctdtrinc(n - 1, 1 - POWER, critical))


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
