"""What each record adds to a correlation: to first order, how far its presence moves it.

The parts of all records sum to 0. The sum of their squares is the variance of the correlation of
independent records, whatever their distribution and their ties (the delta method; ranks and pairs
as U-statistics, Hoeffding 1948). ``clusters.clustered_variance`` sums them within groups first. All
arrays have shape (n,) and vary.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from selfj_eval.metrics.pair_order import PairOrder
from selfj_eval.metrics.result import Array

Codes = npt.NDArray[np.intp]


def of_pearson(a: Array, b: Array) -> Array:
    """Parts of Pearson's r; for standardized x and y, ``(x y - r (x^2 + y^2) / 2) / n``."""
    x, y = a - a.mean(), b - b.mean()
    x, y = x / np.abs(x).max(), y / np.abs(y).max()  # so that no square overflows or vanishes
    return _of_ratio(x * y, x * x, y * y, 1)[1]


def of_spearman(a: Array, b: Array) -> Array:
    """Parts of Spearman's rho: a record also moves the midranks of the others."""
    return _of_spearman(a, b)[1]


def of_kendall_tau_b(a: Array, b: Array) -> Array:
    """Parts of Kendall's tau-b, from the pairs that each record is in."""
    n = len(a)
    (first, ties_a), (second, ties_b) = _tied(a), _tied(b)
    _, ties_both = _tied(first * (second.max() + 1) + second)
    concordant = PairOrder.of(first, second).partners(n)
    discordant = n - ties_a - ties_b + ties_both - concordant
    both, first_apart, second_apart = (
        2.0 * count / n for count in (concordant - discordant, n - ties_a, n - ties_b)
    )
    return _of_ratio(both, first_apart, second_apart, 2)[1]


def of_partial_correlation(a: Array, b: Array, given: Array) -> Array:
    """Parts of Spearman's partial correlation of the first two given the third."""
    (r, of_r), (s, of_s), (t, of_t) = (
        _of_spearman(*both) for both in ((a, b), (a, given), (b, given))
    )
    left = math.sqrt((1 - s**2) * (1 - t**2))
    rho = (r - s * t) / left
    found: Array = (of_r - t * of_s - s * of_t) / left
    return found + rho * (s / (1 - s**2) * of_s + t / (1 - t**2) * of_t)


def _of_spearman(a: Array, b: Array) -> tuple[float, Array]:
    (first, x), (second, y) = _midranks(a), _midranks(b)
    return _of_ratio(
        x * y + _moved(first, y) + _moved(second, x),
        x * x + 2 * _moved(first, x),
        y * y + 2 * _moved(second, y),
        3,
    )


def _of_ratio(xy: Array, xx: Array, yy: Array, degree: int) -> tuple[float, Array]:
    """``mean(xy) / sqrt(mean(xx) mean(yy))``, and what each record adds to it.

    Args:
        xy, xx, yy: What each record adds to the three means, in ``degree`` places.
        degree: As of a U-statistic: how many records a term of the means is about.
    """
    over, left, right = (part.mean() / degree for part in (xy, xx, yy))
    scale = math.sqrt(left * right)
    r = over / scale
    return r, (xy / scale - r / 2 * (xx / left + yy / right)) / len(xy)


def _tied(values: npt.NDArray[np.generic]) -> tuple[Codes, npt.NDArray[np.int64]]:
    """Numbers of the levels, and how many records are tied with each one, itself among them."""
    _, code, count = np.unique(values, return_inverse=True, return_counts=True)
    return code, count[code]


def _midranks(values: Array) -> tuple[Codes, Array]:
    """Numbers of the levels, and midranks less their mean, over n."""
    _, code, count = np.unique(values, return_inverse=True, return_counts=True)
    below = np.cumsum(count) - count
    middle: Array = (below + count / 2) / len(values) - 0.5
    return code, middle[code]


def _moved(level: Codes, values: Array) -> Array:
    """How far a record at its level moves the mean product of the midranks and the values."""
    sums = np.bincount(level, weights=values)
    above = np.cumsum(sums[::-1])[::-1] - sums / 2  # ties count half
    moved: Array = above[level] / len(values)
    return moved
