"""How uncertain the risk-coverage curve is: a bootstrap interval of the risk at each coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from selfj_eval.jobs.arguments import Numbers
from selfj_eval.metrics.bootstrap import RESAMPLES, bootstrap_of_counts
from selfj_eval.metrics.pair_order import Counts
from selfj_eval.metrics.result import Array
from selfj_eval.metrics.selective import risk_coverage

STRICTEST = 0.05
"""Lowest coverage of a band. Of fewer answers, the interval says nothing."""
POINTS = 40


class RiskBand(NamedTuple):
    """Intervals of the risk, each for itself: they do not hold all at once.

    Attributes:
        coverage: Shape (k,). Shares of answers accepted, rising, in (0, 1].
        low, high: Shape (k,). Ends of the interval of the selective risk; None where all resamples
            have the same risk, such as 0.
    """

    coverage: Sequence[float]
    low: Sequence[float | None]
    high: Sequence[float | None]


def risk_band(
    score: Numbers,
    loss: Numbers,
    *,
    group: Numbers | None = None,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> RiskBand:
    """Bootstrap intervals of the selective risk at fixed coverages.

    In a resample, the risk at a coverage is the mean loss of that share of the answers with the
    highest scores. Answers with equal scores count with the expectation over their orders, as in
    ``aurc``.

    Args:
        score, loss: As for ``risk_coverage``.
        group, resamples, confidence, seed: As for ``bootstrap``.

    Returns:
        The band, from the strictest operating point or ``STRICTEST`` on; empty without answers.
    """
    curve = risk_coverage(score, loss)
    if not curve.n:
        return RiskBand([], [], [])
    a, b = np.asarray(score, dtype=float), np.asarray(loss, dtype=float)
    order = np.argsort(-a, kind="stable")
    ends, lost = curve.accepted - 1, b[order]
    coverage = np.linspace(min(1.0, max(STRICTEST, curve.accepted[0] / curve.n)), 1, POINTS)

    def risks(count: Counts) -> Array:
        drawn = count[order]
        accepted = np.append(0.0, np.cumsum(drawn)[ends])
        losses = np.append(0.0, np.cumsum(drawn * lost)[ends])
        wanted = coverage * accepted[-1]
        return np.asarray(np.interp(wanted, accepted, losses) / wanted)

    found = bootstrap_of_counts(
        risks, curve.n, group=group, resamples=resamples, confidence=confidence, seed=seed
    ).intervals
    return RiskBand(
        coverage.tolist(),
        [None if interval is None else interval.low for interval in found],
        [None if interval is None else interval.high for interval in found],
    )
