"""Time and memory of the metrics, and how they grow with the number of answers.

example: python benchmarks/metrics_speed.py
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable

import numpy as np
from scipy.stats import kendalltau, pearsonr, spearmanr
from sklearn.metrics import roc_auc_score

from selfj_eval import metrics

SIZES = (10_000, 100_000, 1_000_000)


def pairs(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, ratings of 1 to 10 (so with heavy ties), and whether they are good."""
    rng = np.random.default_rng(n)
    rating = rng.integers(1, 11, n).astype(float)
    score = np.clip(0.6 * rating + rng.normal(0, 2, n) + 1, 0, 9)
    return score, rating, rating >= 7


def point_metrics(score: np.ndarray, rating: np.ndarray, good: np.ndarray) -> None:
    """Every metric without an interval that `selfj eval` computes over all answers."""
    metrics.headline(score, rating, good)
    for loss in (~good, 1 - (rating - 1) / 9):
        curve = metrics.risk_coverage(score, loss)
        for function in (metrics.augrc, metrics.aurc, metrics.excess_aurc, metrics.prr):
            function(curve)
        metrics.accuracy_at_coverage(curve, 0.5)
        metrics.coverage_at_risk(curve, 0.2)
    for probability in (
        score / 9,
        metrics.cross_fitted(score, good, "isotonic"),
        metrics.cross_fitted(score, good, "platt"),
    ):
        assert probability is not None
        for function in (metrics.ece, metrics.brier, metrics.log_loss):
            function(probability, good)
    metrics.partial_correlation(score, rating, np.arange(len(score)) % 1000)
    metrics.certify(score, good, max_risk=0.2)


def libraries(score: np.ndarray, rating: np.ndarray, good: np.ndarray) -> None:
    """Four of these by scipy and scikit-learn alone: the measure of the machine."""
    pearsonr(score, rating)
    spearmanr(score, rating)
    kendalltau(score, rating)
    roc_auc_score(good, score)


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Best of some runs."""
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Measure and print."""
    metrics.headline(*pairs(100))  # imports are not the metrics' time
    libraries(*pairs(100))
    point_metrics(*pairs(100))
    print("| pairs | all point metrics | per n log n | four by scipy, sklearn | ratio |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    first = 0.0
    for n in SIZES:
        data = pairs(n)
        repeats = 1 if n > 100_000 else 5
        ours = seconds(lambda data=data: point_metrics(*data), repeats)
        theirs = seconds(lambda data=data: libraries(*data), repeats)
        rate = ours / (n * math.log(n))
        first = first or rate
        cells = (f"{n:,}", f"{ours:.3f} s", f"{rate / first:.2f}", f"{theirs:.3f} s")
        print(f"| {' | '.join(cells)} | {ours / theirs:.1f} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\nlargest memory of the process: {peak:.2f} GB")
    data = pairs(10_000)
    took = seconds(lambda: metrics.headline_intervals(*data), 1)
    print(f"bootstrap intervals of the nine headline metrics, 10,000 pairs: {took:.1f} s")


if __name__ == "__main__":
    main()
