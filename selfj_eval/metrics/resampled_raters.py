"""Cohen's kappa and Krippendorff's alpha with any number of copies of each answer.

``rater_agreement`` defines both. Here they are sums over answers with weights, for a bootstrap.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.metrics.pair_order import Counts, Indices
from selfj_eval.metrics.result import Array

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class ResampledRaters:
    """Ratings, of which answers that were rated alike are counted together.

    Args:
        ratings: Shape (n, k); NaN where there is none.
    """

    def __init__(self, ratings: Array) -> None:
        given = np.isfinite(ratings)
        self._levels, own = np.unique(ratings[given], return_inverse=True)
        code = np.full(ratings.shape, -1)
        code[given] = own
        alike, self._row = np.unique(code, axis=0, return_inverse=True)
        self.pairs = [
            (i, j)
            for i, j in combinations(range(ratings.shape[1]), 2)
            if (given[:, i] & given[:, j]).sum() > 1
        ]
        self._of_pairs = _Pairs.of(alike, self.pairs, self._levels)
        self._of_answers = _Answers.of(alike, self._levels)

    def kappas(self, count: Counts) -> Array:
        """Unweighted, linear and quadratic kappa of each of ``pairs``, shape (p, 3).

        Args:
            count: Shape (n,), at least 0: how often each answer is drawn.

        Returns:
            NaN with fewer than two answers, and where both raters gave one rating throughout.
        """
        return self._of_pairs.kappas(self._drawn(count))

    def alphas(self, count: Counts) -> Array:
        """Alpha for the interval, ordinal and nominal scale, shape (3,).

        Args:
            count: Shape (n,), at least 0: how often each answer is drawn.

        Returns:
            NaN where no answer with two ratings is drawn, and where all ratings are equal.
        """
        return self._of_answers.alphas(self._drawn(count))

    def _drawn(self, count: Counts) -> Array:
        return _summed(self._row, count, int(self._row.max(initial=-1)) + 1)


class _Pairs(NamedTuple):
    """How often each pair of raters gave each two ratings, by pair, and the levels of each pair.

    Attributes:
        table: Shape (c, n), sparse. From weights of the answers to those of the cells.
        gaps: Shape (3, c). Disagreements: 1 where ratings differ, the difference, its square.
        starts: Shape (p,). Where the cells of each pair begin.
        of_cell: Shape (2, c). The levels of the two ratings, numbered over all pairs.
        value, width: Shape (l,). Of each level, and how far the next one of the pair is above it.
        levels: Shape (p,). Where the levels of each pair begin.
    """

    table: csr_array
    gaps: Array
    starts: Indices
    of_cell: Indices
    value: Array
    width: Array
    levels: Indices

    @classmethod
    def of(cls, code: npt.NDArray[np.int64], pairs: list[tuple[int, int]], level: Array) -> _Pairs:
        """From the levels' numbers, shape (n, k), -1 where there is no rating."""
        from scipy.sparse import csr_array

        k = max(len(level), 1)
        rows = [np.flatnonzero((code[:, i] >= 0) & (code[:, j] >= 0)) for i, j in pairs]
        row = np.concatenate([np.empty(0, dtype=np.intp), *rows])
        pair = np.repeat(np.arange(len(pairs)), [len(own) for own in rows])
        i, j = np.array(pairs, dtype=np.intp).reshape(-1, 2)[pair].T
        cells, at = np.unique((pair * k + code[row, i]) * k + code[row, j], return_inverse=True)
        table = csr_array((np.ones(len(row)), (at, row)), shape=(len(cells), len(code)))
        pair, both = cells // k**2, np.array([cells // k % k, cells % k])
        gap = np.abs(np.subtract(*level[both]))
        used, of_cell = np.unique(pair * k + both, return_inverse=True)
        of_pair, number = np.divmod(used, k)
        value = level[number] - (level.mean() if len(level) else 0)
        width = np.diff(value, append=0) * (np.diff(of_pair, append=-1) == 0)
        starts, levels = (np.searchsorted(x, np.arange(len(pairs))) for x in (pair, of_pair))
        gaps = np.array([gap > 0, gap, gap**2], dtype=np.float64)
        return cls(table, gaps, starts, of_cell.reshape(2, -1), value, width, levels)

    def kappas(self, w: Array) -> Array:
        """Of each pair, shape (p, 3), of answers with weights w."""
        if not len(self.starts):
            return np.empty((0, 3))
        weight = self.table @ w
        n = np.add.reduceat(weight, self.starts)
        observed = np.add.reduceat(weight * self.gaps, self.starts, axis=1)
        a, b = (_summed(own, weight, len(self.value)) for own in self.of_cell)
        sizes = np.diff(self.levels, append=len(a))

        def total(values: Array) -> Array:
            sums: Array = np.add.reduceat(values, self.levels)
            return sums

        def up_to(values: Array) -> Array:
            """Sums of the levels of the same pair, up to each one."""
            sums = np.cumsum(values)
            before: Array = (sums - values)[self.levels]
            found: Array = sums - np.repeat(before, sizes)
            return found

        below_a, below_b = up_to(a), up_to(b)
        # E|A - B| is the integral of the chance that a point lies between the two.
        between = np.repeat(n, sizes) * (below_a + below_b) - 2 * below_a * below_b
        sum_a, sum_b = total(a * self.value), total(b * self.value)
        squares = total((a + b) * self.value**2)
        expected = np.array(
            [n**2 - total(a * b), total(between * self.width), n * squares - 2 * sum_a * sum_b]
        )
        found = np.full(expected.shape, np.nan)
        np.divide(n * observed, expected, out=found, where=(n > 1) & (expected[0] > 0))
        return 1 - found.T


class _Answers(NamedTuple):
    """All ratings of answers that have two, by answer.

    Attributes:
        row: Shape (n,). The answers.
        size: Shape (n,). How many ratings each has.
        entries: Shape (n,). Where its ratings begin.
        level: Shape (e,). Number of each rating's level.
        interval: Shape (3, n). Sum, sum of squares, and disagreement within each answer.
        nominal: Shape (n,). Disagreement within each answer.
        levels: How many levels there are.
    """

    row: Indices
    size: Counts
    entries: Indices
    level: Indices
    interval: Array
    nominal: Array
    levels: int

    @classmethod
    def of(cls, code: npt.NDArray[np.int64], level: Array) -> _Answers:
        """From the levels' numbers, shape (n, k), -1 where there is no rating."""
        row = np.flatnonzero((code >= 0).sum(axis=1) > 1)
        used = code[row]
        size = (used >= 0).sum(axis=1)
        entries = np.cumsum(size) - size
        of_rating = used[used >= 0]
        values = level[of_rating] - (level[of_rating].mean() if len(row) else 0)
        cells, count = np.unique(
            np.repeat(np.arange(len(row)), size) * len(level) + of_rating, return_counts=True
        )
        same = np.bincount(cells // max(len(level), 1), weights=count**2, minlength=len(row))
        nominal = (size**2 - same) / np.maximum(size - 1, 1)
        interval = _within(values, entries, size)
        return cls(row, size, entries, of_rating, interval, nominal, len(level))

    def alphas(self, w: Array) -> Array:
        """For the three scales, of answers with weights w."""
        weight = w[self.row]
        of_level = _summed(self.level, np.repeat(weight, self.size), self.levels)
        n = float(of_level.sum())
        if np.count_nonzero(of_level) < 2:
            return np.full(3, np.nan)
        ranks = np.cumsum(of_level) - of_level / 2 - n / 2
        different = (n**2 - float(of_level @ of_level)) / (n - 1)
        return np.array(
            [
                _alpha(self.interval, weight, n),
                _alpha(_within(ranks[self.level], self.entries, self.size), weight, n),
                1 - float(weight @ self.nominal) / different,
            ]
        )


def _summed(code: Indices, values: npt.NDArray[Any], size: int) -> Array:
    """Sums of the values of each code, shape (size,)."""
    return np.bincount(code, weights=values, minlength=size).astype(np.float64, copy=False)


def _within(values: Array, entries: Indices, size: Counts) -> Array:
    """Sum and sum of squares of each answer, and half of all squared differences in it.

    Each pair of ratings counts 1 / (size - 1).
    """
    if not len(size):
        return np.empty((3, 0))
    total, squares = (np.add.reduceat(x, entries) for x in (values, values**2))
    return np.array([total, squares, (size * squares - total**2) / np.maximum(size - 1, 1)])


def _alpha(interval: Array, weight: Array, n: float) -> float:
    total, squares, within = (float(weight @ x) for x in interval)
    return 1 - (n - 1) * within / (n * squares - total**2)
