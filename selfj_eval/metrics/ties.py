"""Pairwise accuracy with ties, where scores that differ by little count as tied."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, codes
from selfj_eval.metrics.calibration import FOLDS
from selfj_eval.metrics.result import Array, Metric, paired

MOST_PAIRS = 5_000_000
_DECIMALS = 9  # two differences that are equal but for rounding are one


class TieCalibration(NamedTuple):
    """Accuracy with ties on pairs of answers to the same instruction.

    Attributes:
        accuracy: With the tolerance of each fold, in [0, 1].
        epsilon: Smallest and largest tolerance of the folds; None where undefined.
        counts: Shape (g, 2). Per group: pairs right, and pairs; so that groups can be resampled.
    """

    accuracy: Metric
    epsilon: tuple[float, float] | None
    counts: Array


class _Pairs(NamedTuple):
    """All pairs within groups, as arrays of shape (p,)."""

    group: npt.NDArray[np.int64]
    difference: Array
    alike: npt.NDArray[np.bool_]
    """Score and rating order them alike."""
    tied: npt.NDArray[np.bool_]
    """The ratings are equal."""


def calibrated_ties(
    score: Numbers,
    rating: Numbers,
    group: Numbers,
    *,
    fold: Numbers | None = None,
    seed: int = 0,
) -> TieCalibration:
    """acc23 with calibrated ties (Deutsch et al. 2023, arXiv 2305.14324, section 4).

    A judge whose scores are never equal misses every tie of the ratings. Here two scores are tied
    when they differ by at most epsilon: the smallest of those that are best on the other folds'
    pairs. On the pairs that it was chosen on, the accuracy would be too high.

    Args:
        score, rating: Shape (n,), finite.
        group: Shape (n,): equal for answers to the same instruction.
        fold: Shape (g,), one of the folds per group, in the order of the groups' names. Default:
            five folds dealt at random.
        seed: Of the folds.

    Returns:
        The accuracy; undefined with its reason where there are no pairs, fewer than ten groups, or
        more than five million pairs.
    """
    a, b = paired(score, rating)
    code = codes(group, "group", len(a))
    groups = int(code.max(initial=-1)) + 1
    size = np.bincount(code, minlength=groups)
    counts = np.zeros((groups, 2))
    counts[:, 1] = size * (size - 1) // 2
    total = int(counts[:, 1].sum())
    if fold is None:
        fold = np.random.default_rng(seed).permutation(groups) % FOLDS
    folds = codes(fold, "fold", groups)
    reason = None
    if not total:
        reason = "no two scored answers are to the same instruction"
    elif groups < 2 * FOLDS:
        reason = f"only {groups} instructions; at least {2 * FOLDS} are needed"
    elif total > MOST_PAIRS:
        reason = f"{total:,} pairs are too many; at most {MOST_PAIRS:,} are compared"
    if reason is not None:
        return TieCalibration(Metric(None, total, reason), None, counts)
    pairs = _pairs(a, b, code)
    of_pair = folds[pairs.group]
    found = []
    for k in np.unique(folds):
        here = of_pair == k
        epsilon = _best(pairs, ~here)
        right = np.where(pairs.difference <= epsilon, pairs.tied, pairs.alike)
        counts[:, 0] += np.bincount(pairs.group, weights=right * here, minlength=groups)
        found.append(epsilon)
    accuracy = Metric(float(counts[:, 0].sum() / total), total)
    return TieCalibration(accuracy, (min(found), max(found)), counts)


def _pairs(score: Array, rating: Array, code: npt.NDArray[np.int64]) -> _Pairs:
    order = np.argsort(code, kind="stable")
    a, b, code = score[order], rating[order], code[order]
    end = np.cumsum(np.bincount(code))[code]
    first, second = [], []
    rows, step = np.arange(len(code)), 1
    while len(rows := rows[rows + step < end[rows]]):
        first.append(rows)
        second.append(rows + step)
        step += 1
    i, j = np.concatenate(first), np.concatenate(second)
    difference, wanted = a[i] - a[j], b[i] - b[j]
    return _Pairs(
        code[i],
        np.round(np.abs(difference), _DECIMALS).astype(np.float64),
        np.sign(difference) == np.sign(wanted),
        wanted == 0,
    )


def _best(pairs: _Pairs, kept: npt.NDArray[np.bool_]) -> float:
    """The smallest tolerance with the most pairs right, 0 or one of the differences."""
    order = np.argsort(pairs.difference[kept], kind="stable")
    value = pairs.difference[kept][order]
    if not len(value):
        return 0.0
    gain = pairs.tied[kept][order].astype(np.int64) - pairs.alike[kept][order]
    last = np.append(value[1:] != value[:-1], True)  # a tolerance ties all pairs that equal it
    levels, right = value[last], np.cumsum(gain)[last]
    if levels[0] > 0:  # no pair is tied at 0
        levels, right = np.append(0.0, levels), np.append(0, right)
    return float(levels[int(np.argmax(right))])
