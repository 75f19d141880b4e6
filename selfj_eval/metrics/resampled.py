"""The headline metrics of resamples: records in order once, each counted as often as it is drawn.

They are those of ``headline`` on the records repeated, but for rounding. Sorting, which takes most
of the time there, is done once; a resample takes a few passes over the records.
"""

from __future__ import annotations

import math

import numpy as np

from selfj_eval.metrics.correlation import Concordance, scaled
from selfj_eval.metrics.headline import Headline
from selfj_eval.metrics.pair_order import Counts, Indices, PairOrder, running
from selfj_eval.metrics.result import Array, no_spread

RESAMPLED = tuple(name for name in Headline._fields if name != "ece")
"""The metrics that have a bootstrap interval. Resampling raises the ECE: each bin of a resample has
noise of the records and of the draw. Its percentiles lie above the value itself, and no correction
of them is known to hold."""


class ResampledHeadline:
    """Rated answers whose metrics can be computed with any number of copies of each.

    Records alike in all three are counted together.

    Args:
        score: Shape (n,), finite.
        rating: Shape (n,), finite.
        good: Shape (n,), 1 (good) or 0.
    """

    def __init__(self, score: Array, rating: Array, good: Array) -> None:
        self._order = np.lexsort((good, rating, score))
        a, b, y = score[self._order], rating[self._order], good[self._order]
        new_score, new_rating, new_kind = (np.diff(x, prepend=np.nan) != 0 for x in (a, b, y))
        new_pair = new_score | new_rating
        cells = np.flatnonzero(new_pair | new_kind)
        self._cells = _bounds(cells, len(a))
        a, b = a[cells], b[cells]
        self._bad = (1 - y[cells]).astype(np.int64)
        # Of cells: those that begin another pair of score and rating, and another score.
        self._pairs = _bounds(np.flatnonzero(new_pair[cells]), len(cells))
        starts = np.flatnonzero(new_score[cells])
        self._scores = _bounds(starts, len(cells))
        self._score_levels = a[starts]
        self._score_code = np.cumsum(new_score[cells]) - 1
        self._rating_levels, self._rating_code = np.unique(b, return_inverse=True)
        self._score, self._rating = scaled(a), scaled(b)
        self._order_of_pairs = PairOrder.of(self._score_code, self._rating_code)
        self._harmonic = np.zeros(0)

    def values(self, count: Counts) -> Array:
        """The metrics ``RESAMPLED``, NaN where undefined.

        Args:
            count: Shape (n,), at least 0: how often each record is drawn.
        """
        w = _summed(count[self._order], self._cells)
        by_score = _summed(w, self._scores)
        by_rating = np.bincount(
            self._rating_code, weights=w, minlength=len(self._rating_levels)
        ).astype(np.int64)
        n = int(by_rating.sum())
        no_ratings = _no_spread(self._rating_levels, by_rating)
        no_order = _no_spread(self._score_levels, by_score) or no_ratings
        below = running(by_score)
        pearson = spearman = math.nan
        if not no_order:
            weights = w.astype(np.float64)
            pearson = self._pearson(weights, n)
            spearman = self._spearman(weights, below, by_rating, n)
        pairs = self._concordance(w, by_score, by_rating, n, no_order, no_ratings)
        tau_b, acc23 = pairs.tau_b().value, pairs.acc23().value
        return np.array(
            [
                pearson,
                spearman,
                math.nan if tau_b is None else tau_b,
                math.nan if acc23 is None else acc23,
                *self._selective(w * self._bad, by_score, below, n),
            ]
        )

    def _pearson(self, w: Array, n: int) -> float:
        x, y = self._score - w @ self._score / n, self._rating - w @ self._rating / n
        wx, wy = w * x, w * y
        return _bounded(float(wx @ y) / (math.sqrt(wx @ x) * math.sqrt(wy @ y)))

    def _spearman(self, w: Array, below: Counts, by_rating: Counts, n: int) -> float:
        x = (below[:-1] + below[1:] - n) / 2  # midranks, less their mean (n + 1) / 2
        if self._scores is not None:
            x = x[self._score_code]
        sums = running(by_rating)
        y = (sums[:-1] + sums[1:] - n) / 2
        yy = float((by_rating * y) @ y)
        wx = w * x
        return _bounded(float(wx @ y[self._rating_code]) / (math.sqrt(wx @ x) * math.sqrt(yy)))

    def _concordance(
        self,
        w: Counts,
        by_score: Counts,
        by_rating: Counts,
        n: int,
        no_order: str | None,
        no_ratings: str | None,
    ) -> Concordance:
        ties_a, ties_b, ties_both = map(_pairs, (by_score, by_rating, _summed(w, self._pairs)))
        ordered = n * (n - 1) // 2 - ties_a - ties_b + ties_both
        concordant = self._order_of_pairs.concordant(w)
        return Concordance(
            concordant,
            ordered - concordant,
            ties_a - ties_both,
            ties_b - ties_both,
            ties_both,
            n,
            no_order,
            no_ratings,
        )

    def _selective(
        self, bad: Counts, size: Counts, below: Counts, n: int
    ) -> tuple[float, float, float, float]:
        """AUROC, AUGRC, AURC and PRR, from the numbers of bad and of all answers of each score."""
        if not n:
            return (math.nan,) * 4
        lost = _summed(bad, self._scores)
        lost_up_to = np.cumsum(lost)
        total = int(lost_up_to[-1])
        lost_above = total - lost_up_to
        # Pairs of a good and a bad answer in which the bad one scores higher, ties counted half.
        wrong = float(size @ lost_above - lost @ lost_above + (size @ lost - lost @ lost) / 2)
        augrc = (wrong + total**2 / 2) / n**2
        # Losses within a score are spread evenly over its places. A score with m answers, l of them
        # bad, below A answers, L of them bad, adds the sum of the risks (L + k l / m) / (A + k)
        # over k = 1..m, which is l + (L - A l / m) (H(A + m) - H(A)).
        above = n - below
        harmonic = self._harmonic_numbers(n)[above]
        rest = lost_above - above[1:] * (lost / np.maximum(size, 1))
        aurc = (total + float(rest @ (harmonic[:-1] - harmonic[1:]))) / n
        if total in (0, n):
            return math.nan, augrc, aurc, math.nan
        good, harmonic = n - total, self._harmonic_numbers(n)
        oracle = (total - good * float(harmonic[n] - harmonic[good])) / n
        random = total / n
        prr = (random - aurc) / (random - oracle)
        return 1 - wrong / (good * total), augrc, aurc, prr

    def _harmonic_numbers(self, n: int) -> Array:
        """H(0) to at least H(n), but for a constant, which differences do not have."""
        if len(self._harmonic) <= n:
            from scipy.special import digamma

            self._harmonic = digamma(np.arange(1.0, n + n // 8 + 2))
        return self._harmonic


def _bounds(starts: Indices, n: int) -> Indices | None:
    """Where groups of n begin and the last one ends; None where there is nothing to sum."""
    return None if len(starts) == n else np.append(starts, n)


def _summed(values: Counts, bounds: Indices | None) -> Counts:
    """The sum of each group. Whole numbers lose nothing in a difference of running sums."""
    if bounds is None:
        return values
    sums: Counts = np.diff(running(values)[bounds])
    return sums


def _no_spread(levels: Array, count: Counts) -> str | None:
    """Why the values drawn cannot be correlated with anything, or None."""
    drawn = count > 0
    if not drawn.any():
        return "no records"
    first, last = int(drawn.argmax()), len(drawn) - 1 - int(drawn[::-1].argmax())
    return no_spread(levels[[first, last]], "values")


def _bounded(r: float) -> float:
    return min(1.0, max(-1.0, r))


def _pairs(sizes: Counts) -> int:
    """Number of pairs within groups of these sizes."""
    return int(sizes @ (sizes - 1)) // 2
