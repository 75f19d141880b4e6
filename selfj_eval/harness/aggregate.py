"""From one value a document to one number a task. Unscored documents carry None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from selfj_eval import metrics
from selfj_eval.metrics import Metric

Pairs = Sequence[tuple[float, float] | None]
"""(score, rating) of each document; None where it is unscored or unrated."""


def _over_pairs(function: Callable[[Any, Any], Metric], items: Pairs) -> Metric:
    pairs = [item for item in items if item is not None]
    if not pairs:
        return Metric(None, 0, f"none of {len(items)} documents has both a score and a rating")
    scores, ratings = zip(*pairs, strict=True)
    return function(scores, ratings)


def corpus_pearson(items: Pairs) -> Metric:
    """Pearson's r of score and rating."""
    return _over_pairs(metrics.pearson, items)


def corpus_spearman(items: Pairs) -> Metric:
    """Spearman's rho of score and rating."""
    return _over_pairs(metrics.spearman, items)


def corpus_kendall_tau_b(items: Pairs) -> Metric:
    """Kendall's tau-b of score and rating."""
    return _over_pairs(metrics.kendall_tau_b, items)


def corpus_auroc(items: Pairs) -> Metric:
    """AUROC of "the answer is good"; the items hold (score, whether it is good)."""
    return _over_pairs(metrics.auroc, items)


def mean_of_scored(items: Sequence[float | None]) -> Metric:
    """Mean over the documents that have a value."""
    values = [item for item in items if item is not None]
    if not values:
        return Metric(None, 0, f"none of {len(items)} documents was scored")
    return Metric(float(np.mean(values)), len(values))


def count(items: Sequence[int]) -> Metric:
    """Sum of 0s and 1s."""
    return Metric(float(sum(items)), len(items))


def _preference(items: Sequence[tuple[float, float, int] | None]) -> metrics.PreferenceAccuracy:
    rows = np.array([item for item in items if item is not None], dtype=float).reshape(-1, 3)
    return metrics.preference_accuracy(*rows.T)


def pair_accuracy(items: Sequence[tuple[float, float, int] | None]) -> Metric:
    """Accuracy on pairs that have a winner; items hold (score A, score B, label)."""
    return _preference(items).decided


def pair_accuracy_with_ties(items: Sequence[tuple[float, float, int] | None]) -> Metric:
    """Three-way accuracy on all pairs; items hold (score A, score B, label)."""
    return _preference(items).with_ties
