"""Agreement of pointwise scores with preferences between two answers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, codes, numbers
from selfj_eval.metrics.bootstrap import RESAMPLES, bootstrap_of_counts
from selfj_eval.metrics.correlation import Concordance
from selfj_eval.metrics.pair_order import Counts
from selfj_eval.metrics.result import Array, Metric, paired

_SMALL = 128
"""Of groups: in larger ones the O(n log n) count is faster than a look at each pair."""


class PreferenceAccuracy(NamedTuple):
    """How often the higher score is the preferred answer.

    Attributes:
        decided: Over the pairs whose label is not a tie; equal scores count half.
        with_ties: Over all pairs, three-way: a pair counts when score and label both say A,
            both say B, or both say tie (as acc23, arXiv 2305.14324, over the given pairs).
    """

    decided: Metric
    with_ties: Metric


def pair_counts(score: Numbers, rating: Numbers, group: Numbers) -> Array:
    """Pairs of answers within each of g groups, counted: so that groups can be resampled.

    Args:
        score: Shape (n,), finite.
        rating: Shape (n,), finite: of two answers, the one rated higher is preferred.
        group: Shape (n,): equal for answers to the same instruction.

    Returns:
        Shape (g, 4): pairs right (ties half), pairs whose ratings differ, pairs right with ties
        counted, all pairs.
    """
    a, b = paired(score, rating)
    code = codes(group, "group", len(a))
    order = np.argsort(code, kind="stable")
    a, b, code = a[order], b[order], code[order]
    size = np.bincount(code)
    end = np.cumsum(size)
    counts = np.zeros((len(size), 4))
    counts[:, 3] = size * (size - 1) // 2
    # In small groups each record with the first, second, ... after it, in all groups at once.
    after = end[code] - np.arange(len(code)) - 1
    rows, step = np.flatnonzero(size[code] <= _SMALL), 1
    while len(rows := rows[after[rows] >= step]):
        x, y = (_order(values[rows], values[rows + step]) for values in (a, b))
        right = np.where(x == 0, 0.5, x == y) * (y != 0)
        for column, found in enumerate((right, y != 0, x == y)):
            counts[:, column] += np.bincount(code[rows], weights=found, minlength=len(size))
        step += 1
    for group in np.flatnonzero(size > _SMALL):
        of = slice(end[group] - size[group], end[group])
        pairs = Concordance.of(a[of], b[of])
        ordered = pairs.concordant + pairs.discordant + pairs.tied_score
        right_ties = pairs.concordant + pairs.tied_both
        counts[group, :3] = pairs.concordant + pairs.tied_score / 2, ordered, right_ties
    return counts


def accuracy_of_counts(counts: Numbers) -> PreferenceAccuracy:
    """Accuracy on pairs within groups, from ``pair_counts`` of shape (g, 4)."""
    table = numbers(counts, "counts")
    if table.ndim != 2 or table.shape[1] != 4:
        raise ValueError(f"counts must have shape (g, 4), got {table.shape}")
    right, ordered, right_ties, pairs = table.sum(axis=0).tolist()
    if not pairs:
        reason = "no two scored answers are to the same instruction"
        return PreferenceAccuracy(*[Metric(None, 0, reason)] * 2)
    first = Metric(None, 0, f"all {int(pairs)} pairs have equal ratings")
    if ordered:
        first = Metric(right / ordered, int(ordered))
    return PreferenceAccuracy(first, Metric(right_ties / pairs, int(pairs)))


def _order(first: Array, second: Array) -> npt.NDArray[np.int8]:
    """1 where the first is higher, -1 where the second is, 0 where they are equal."""
    return (first > second).astype(np.int8) - (first < second)


def preference_points(
    score_a: Numbers, score_b: Numbers, label: Numbers, *, epsilon: float = 0.0
) -> Array:
    """What each labelled pair counts in the two accuracies; arguments as for these.

    Returns:
        Shape (n, 2), in [0, 1]: in the first column NaN where the label is a tie.
    """
    a, b = paired(score_a, score_b)
    a, truth = paired(a, label)
    if not np.isin(truth, (-1, 0, 1)).all():
        raise ValueError("labels must be 1 (A), -1 (B) or 0 (tie)")
    if not epsilon >= 0:
        raise ValueError(f"epsilon must be at least 0, got {epsilon}")
    verdict = np.where(np.abs(a - b) <= epsilon, 0.0, np.sign(a - b))
    decided = np.where(verdict == 0, 0.5, verdict == truth)
    return np.column_stack([np.where(truth == 0, np.nan, decided), verdict == truth])


def mean_intervals(
    values: Numbers,
    *,
    group: Numbers,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Metric]:
    """Means of k columns with bootstrap intervals, which no order of the records changes.

    Args:
        values: Shape (n, k), such as ``preference_points`` gives; NaN is left out.
        group, resamples, confidence, seed: As for ``bootstrap``.

    Returns:
        One mean a column.
    """
    table = numbers(values, "values")
    order = np.lexsort([*table.T, codes(group, "group", len(table))])
    table, code = table[order], codes(group, "group")[order]
    there = np.isfinite(table)
    filled = np.where(there, table, 0.0)

    def means(count: Counts) -> Array:
        n = count @ there
        with np.errstate(invalid="ignore"):
            found: Array = np.where(n == 0, np.nan, (count @ filled) / np.maximum(n, 1))
        return found

    found = bootstrap_of_counts(
        means, len(table), group=code, resamples=resamples, confidence=confidence, seed=seed
    )
    none = "there are no such scored pairs"
    return [
        Metric(float(value), int(n), None, interval) if n else Metric(None, 0, none)
        for value, n, interval in zip(found.value, there.sum(axis=0), found.intervals, strict=True)
    ]


class PositionBias(NamedTuple):
    """What the order of two answers does to a judge that is shown both.

    Attributes:
        first: Mean preference in [0, 1] for the answer that is shown first, over both orders:
            0.5 without bias, 1 for a judge that always takes the first.
        changed: Share of the pairs whose winner changes with the order.
    """

    first: Metric
    changed: Metric

    def __str__(self) -> str:
        first, changed = self.first.value, self.changed.value
        if first is None or changed is None:
            return f"none is known: {self.first.undefined}"
        return (
            f"mean preference for the answer shown first {first:.3f} (0.5: none); the winner "
            f"changes with the order in {changed:.1%} of {self.changed.n:,} pairs"
        )


def position_bias(a_first: Numbers, b_first: Numbers) -> PositionBias:
    """Position bias over n pairs that were asked in both orders.

    Args:
        a_first: Shape (n,). The preference for A in [0, 1] where A was shown first.
        b_first: The same where B was.
    """
    a, b = paired(a_first, b_first)
    if not len(a):
        return PositionBias(*[Metric(None, 0, "no scored pairs")] * 2)
    changed = np.sign(a - 0.5) != np.sign(b - 0.5)
    first = float((0.5 + (a - b) / 2).mean())
    return PositionBias(Metric(first, len(a)), Metric(float(changed.mean()), len(a)))


def preference_accuracy(
    score_a: Numbers, score_b: Numbers, label: Numbers, *, epsilon: float = 0.0
) -> PreferenceAccuracy:
    """Accuracy of scores on labelled pairs.

    Args:
        score_a, score_b: Shape (n,), finite.
        label: Shape (n,): 1 where A is preferred, -1 where B is, 0 for a tie.
        epsilon: Scores that differ by no more than this are a tie; at least 0.

    Returns:
        Both accuracies, in [0, 1]; undefined with their reason where no pair counts.

    Raises:
        ValueError: For other labels, a negative epsilon, or arrays that do not match.
    """
    points, with_ties = preference_points(score_a, score_b, label, epsilon=epsilon).T
    if not len(points):
        return PreferenceAccuracy(*[Metric(None, 0, "no scored pairs")] * 2)
    decided = points[np.isfinite(points)]
    first = Metric(None, 0, f"all {len(points)} labels are ties")
    if len(decided):
        first = Metric(float(decided.mean()), len(decided))
    return PreferenceAccuracy(first, Metric(float(with_ties.mean()), len(points)))
