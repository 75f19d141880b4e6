"""Correlation of scores with ratings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from selfj_eval.metrics.result import Metric, no_spread, paired


def pearson(score: npt.ArrayLike, rating: npt.ArrayLike) -> Metric:
    """Pearson's r of scores and ratings, in [-1, 1].

    Args:
        score: Shape (n,), finite.
        rating: Shape (n,), finite.

    Returns:
        The correlation; undefined with its reason when n < 2 or either side is constant.
    """
    from scipy.stats import pearsonr

    return _correlation(pearsonr, score, rating)


def spearman(score: npt.ArrayLike, rating: npt.ArrayLike) -> Metric:
    """Spearman's rho (Pearson's r of midranks), in [-1, 1]; arguments as for ``pearson``."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, score, rating)


def kendall_tau_b(score: npt.ArrayLike, rating: npt.ArrayLike) -> Metric:
    """Kendall's tau-b (corrected for ties), in [-1, 1]; arguments as for ``pearson``."""
    from scipy.stats import kendalltau

    return _correlation(kendalltau, score, rating)


def _correlation(
    function: Callable[..., Any], score: npt.ArrayLike, rating: npt.ArrayLike
) -> Metric:
    a, b = paired(score, rating)
    reason = no_spread(a, "scores") or no_spread(b, "ratings")
    if reason:
        return Metric(None, len(a), reason)
    return Metric(float(function(a, b).statistic), len(a))
