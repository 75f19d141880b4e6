"""Shares and means of records, with intervals that also hold where records come in groups."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from selfj_eval.jobs.arguments import Numbers, numbers, truths
from selfj_eval.metrics.clusters import clustered_variance, several_of_one
from selfj_eval.metrics.result import Interval, Metric


def proportion(holds: Numbers, *, group: Numbers | None = None, confidence: float = 0.95) -> Metric:
    """The share of records for which something holds, with Wilson's interval (1927, JASA 22).

    Where records come in groups, it is Wilson's at the effective number of records
    p (1 - p) / variance, with the variance between groups and Student's quantile; the number of
    groups where nothing varies.

    Args:
        holds: Shape (n,), true or false.
        group: Shape (n,). Records that belong together, such as answers to one instruction.
            Default: each by itself.
        confidence: Level of the interval, in (0, 1). A single group gives none.

    Returns:
        The share, in [0, 1]; undefined without records.
    """
    x = truths(holds, "holds").astype(np.float64)
    n = len(x)
    if not n:
        return Metric(None, 0, "no records")
    p = float(x.mean())
    unit = several_of_one(group, n)
    if unit is None:
        return Metric(p, n, interval=wilson(p, n, confidence))
    units = int(unit.max()) + 1
    if units < 2:
        return Metric(p, n)
    variance = clustered_variance((x - p) / n, unit)
    effective = float(units)
    if variance > 0:
        effective = min(float(n), p * (1 - p) / variance)
    return Metric(p, n, interval=wilson(p, effective, confidence, degrees=units - 1))


def mean(values: Numbers, *, group: Numbers | None = None, confidence: float = 0.95) -> Metric:
    """The mean of records, with Student's interval.

    Where records come in groups, its variance is that between groups
    (``clusters.clustered_variance``), with as many degrees of freedom as there are groups, less
    one.

    Args:
        values: Shape (n,), finite.
        group: Shape (n,). Records that belong together, such as answers to one instruction.
            Default: each by itself.
        confidence: Level of the interval, in (0, 1). There is none for a single record or group,
            or if nothing varies.

    Returns:
        The mean; undefined without records.
    """
    x = numbers(values, "values")
    n = len(x)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise ValueError(f"values: expected finite numbers of shape (n,), got shape {x.shape}")
    if not n:
        return Metric(None, 0, "no records")
    value = float(x.mean())
    unit = several_of_one(group, n)
    method = "t" if unit is None else "t, clustered"
    unit = np.arange(n) if unit is None else unit
    units = int(unit.max()) + 1
    if units < 2:
        return Metric(value, n)
    error = math.sqrt(clustered_variance((x - value) / n, unit))
    if error <= 1e-12 * float(np.abs(x).max()):
        return Metric(value, n)
    half = quantile(confidence, units - 1) * error
    return Metric(value, n, interval=Interval(value - half, value + half, confidence, method))


def wilson(
    share: float, n: float, confidence: float = 0.95, *, degrees: int | None = None
) -> Interval:
    """Wilson's interval of a share.

    Args:
        share: In [0, 1].
        n: Number of independent records that it is worth, above 0.
        confidence: In (0, 1).
        degrees: Degrees of freedom of its variance, where that was estimated.
    """
    z2 = quantile(confidence, degrees) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return Interval(max(0.0, centre - half), min(1.0, centre + half), confidence, "wilson")


def quantile(confidence: float, degrees: float | None = None) -> float:
    """How many standard errors an interval reaches: of the normal, or of Student's distribution.

    Args:
        confidence: In (0, 1).
        degrees: Degrees of freedom; None is the normal distribution.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    if degrees is None:
        return NormalDist().inv_cdf((1 + confidence) / 2)
    from scipy.special import stdtrit  # scipy.stats, which calls it, takes much longer to import

    return float(stdtrit(degrees, (1 + confidence) / 2))
