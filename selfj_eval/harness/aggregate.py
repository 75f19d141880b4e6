"""From one value a document to one number a task. Unscored documents carry None."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from selfj_eval import metrics
from selfj_eval.metrics import Metric

Rated = Sequence[tuple[float, float, bool] | None]
"""(score, rating, is good) of each document; None where it is unscored or unrated."""


def _headline(name: str, items: Rated) -> Metric:
    rows = tuple(tuple(item) for item in items if item is not None)
    if not rows:
        return Metric(None, 0, f"none of {len(items)} documents has both a score and a rating")
    metric: Metric = getattr(_all(rows), name)
    return metric


@lru_cache(maxsize=1)
def _all(rows: tuple[tuple[float, float, bool], ...]) -> metrics.Headline:
    """All headline metrics of rated documents; lm-eval asks for one after the other."""
    return metrics.headline(*zip(*rows, strict=True))


def corpus_pearson(items: Rated) -> Metric:
    """Pearson's r of score and rating."""
    return _headline("pearson", items)


def corpus_spearman(items: Rated) -> Metric:
    """Spearman's rho of score and rating."""
    return _headline("spearman", items)


def corpus_kendall_tau_b(items: Rated) -> Metric:
    """Kendall's tau-b of score and rating."""
    return _headline("kendall_tau_b", items)


def corpus_acc23(items: Rated) -> Metric:
    """Pairwise accuracy with ties of score and rating."""
    return _headline("acc23", items)


def corpus_auroc(items: Rated) -> Metric:
    """AUROC of "the answer is good"."""
    return _headline("auroc", items)


def corpus_augrc(items: Rated) -> Metric:
    """Area under the generalized risk-coverage curve."""
    return _headline("augrc", items)


def corpus_aurc(items: Rated) -> Metric:
    """Area under the risk-coverage curve."""
    return _headline("aurc", items)


def corpus_prr(items: Rated) -> Metric:
    """Prediction rejection ratio."""
    return _headline("prr", items)


def corpus_ece(items: Rated) -> Metric:
    """Expected calibration error of score / 9."""
    return _headline("ece", items)


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
