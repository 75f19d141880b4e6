"""Whether two rankings of systems are sure of the same differences (soft pairwise accuracy)."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, codes
from selfj_eval.metrics.result import Array, Metric, paired

FLIPS = 10_000
"""Random sign changes, where they cannot all be counted."""
MOST_DIFFERENCES = 5_000_000
"""Of pairs of systems times instructions."""
_MOST_TERMS = 20_000_000
"""What counting all sign changes of all pairs may cost: about two seconds."""
_MOST_STEPS = 100_000
"""Between the smallest and the largest value: with more, they are on no grid that helps."""
_CHUNK = 1_000_000
_NEAR = 1e-6  # of the sum of absolute differences: more than float32 rounds off


class SignFlips(NamedTuple):
    """Where a mean difference lies among those with all signs chosen at random.

    Attributes:
        above: Probability of a larger mean.
        equal: Probability of the same mean.
    """

    above: Array
    equal: Array

    @property
    def p(self) -> Array:
        """One-sided p-values; equal means count half, so that p is 1 - p the other way round."""
        return self.above + self.equal / 2


def soft_pairwise_accuracy(
    score: Numbers, rating: Numbers, system: Numbers, group: Numbers, *, seed: int = 0
) -> Metric:
    """Soft pairwise accuracy of a ranking by score (Thompson et al. 2024, arXiv 2409.09598).

    1 - mean over pairs of systems of |p(rating) - p(score)|, in [0, 1], where p is the one-sided
    p-value of the paired sign-flip test that the first system of the pair is better. Two rankings
    agree where both are sure of a difference, or both are not: a pair that the ratings cannot tell
    apart counts little, in whichever order the scores put it.

    Sign changes that give the same mean count half. If they counted in full, as in the published
    code, ratings of few levels would have larger p-values than scores of many, and the accuracy
    would depend on the order in which the systems are named.

    Args:
        score: Shape (n,), finite.
        rating: Shape (n,), finite.
        system: Shape (n,). Whose answer it is.
        group: Shape (n,). The instruction. Of several answers of a system to it, the mean counts.
        seed: Of the sign changes, where they are drawn.

    Returns:
        The accuracy; ``n`` is the number of pairs with an instruction in common. Undefined with its
        reason without such a pair, or with more than ``MOST_DIFFERENCES``.
    """
    a, b = paired(score, rating)
    row, column = codes(system, "system", len(a)), codes(group, "group", len(a))
    k, g = (int(code.max(initial=-1)) + 1 for code in (row, column))
    if (size := k * (k - 1) // 2 * g) > MOST_DIFFERENCES:
        reason = (
            f"{k:,} systems on {g:,} instructions make {size:,} differences; at most "
            f"{MOST_DIFFERENCES:,} are compared"
        )
        return Metric(None, 0, reason)
    cell = row * g + column
    count = np.bincount(cell, minlength=k * g).reshape(k, g)
    pairs = [(i, j) for i, j in combinations(range(k), 2) if (count[i] * count[j]).any()]
    if not pairs:
        return Metric(None, 0, "no two systems have an instruction in common")
    sides = []
    for values in (a, b):
        sums = np.bincount(cell, weights=values, minlength=k * g).reshape(k, g)
        means = np.divide(sums, count, out=np.full((k, g), np.nan), where=count > 0)
        sides.append(sign_flips(means, pairs, seed).p)
    return Metric(1 - float(np.abs(sides[0] - sides[1]).mean()), len(pairs))


def sign_flips(values: Array, pairs: list[tuple[int, int]], seed: int = 0) -> SignFlips:
    """The paired sign-flip test of pairs of systems: exact where values are on a grid, else drawn.

    Exact are values that are multiples of a step, such as ratings or scores with two decimals,
    unless there are too many of them. Then ``FLIPS`` sign changes are drawn, the same for all
    pairs.

    Args:
        values: Shape (k, g); NaN where there is none.
        pairs: Which two systems; their common instructions count.
        seed: Of the sign changes.

    Returns:
        Arrays of shape (len(pairs),).
    """
    steps = _steps(values)
    if steps is not None:
        exact = [_Steps.of(steps[i] - steps[j]) for i, j in pairs]
        if sum(one.terms for one in exact) <= _MOST_TERMS:
            return SignFlips(*np.array([one.tails() for one in exact]).T)
    return _drawn(values, pairs, seed)


def _steps(values: Array) -> Array | None:
    """The values in whole steps from the smallest one, or None where there is no such step."""
    known = values[np.isfinite(values)]
    levels = np.unique(known)
    spread = float(np.ptp(levels))
    if not spread:
        return np.where(np.isfinite(values), 0.0, np.nan)
    step, tolerance = spread, 1e-6 * spread
    for gap in np.diff(levels):  # Euclid's algorithm
        while gap > tolerance:
            step, gap = gap, abs(step - gap * np.round(step / gap))
        if step < spread / _MOST_STEPS:
            return None
    steps = (values - levels[0]) / step
    whole: Array = np.round(steps)
    return whole if np.nanmax(np.abs(steps - whole)) < 1e-3 else None


class _Steps(NamedTuple):
    """Differences in whole steps.

    Attributes:
        size, times: Shape (l,). The sizes that occur, without 0, and how often each does.
        observed: The sum of the differences.
    """

    size: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    observed: int

    @classmethod
    def of(cls, differences: Array) -> _Steps:
        known = differences[np.isfinite(differences)].astype(np.int64)
        size, count = np.unique(np.abs(known[known != 0]), return_counts=True)
        return cls(size, count, int(known.sum()))

    @property
    def terms(self) -> int:
        return len(self.size) * (int(self.size @ self.times) + 1) // 2

    def tails(self) -> tuple[float, float]:
        """Probabilities of a larger and of the same sum.

        The distribution of the sum is a convolution, computed from its Fourier transform, the
        product of cos(size x) over all differences. Every other sum is possible, so that total + 1
        points are enough.
        """
        from scipy.fft import irfft, next_fast_len

        total = int(self.size @ self.times)
        points = next_fast_len(total + 1, real=True)
        angle = np.pi / points * np.arange(points // 2 + 1)
        logarithm, negative = np.zeros(len(angle)), np.zeros(len(angle), dtype=bool)
        with np.errstate(divide="ignore"):  # where the product is 0
            for size, times in zip(self.size, self.times, strict=True):
                cosine = np.cos(size * angle)
                logarithm += times * np.log(np.abs(cosine))
                negative ^= (cosine < 0) & bool(times % 2)
        product = np.where(negative, -1.0, 1.0) * np.exp(logarithm)
        chance = irfft(product * np.exp(-1j * total * angle), points)
        place = (self.observed + total) // 2
        return float(chance[place + 1 : total + 1].sum()), float(chance[place])


def _drawn(values: Array, pairs: list[tuple[int, int]], seed: int) -> SignFlips:
    first, second = np.array(pairs).T
    rng = np.random.default_rng(seed)
    g = values.shape[1]
    larger, same = np.zeros(len(pairs)), np.zeros(len(pairs))
    # Where there is no difference, 0 changes no sum.
    exact = np.nan_to_num(values[first] - values[second])
    largest = np.abs(exact).max(axis=1, keepdims=True)
    # Of about 1, because float32 has no room for very large or small numbers.
    differences = (exact / np.where(largest > 0, largest, 1.0)).astype(np.float32)
    near = _NEAR * np.abs(differences).sum(axis=1)
    rows = max(1, _CHUNK // max(g, len(pairs)))
    for start in range(0, FLIPS, rows):
        size = (min(rows, FLIPS - start), -(-g // 8))
        bits = np.unpackbits(rng.integers(0, 256, size, dtype=np.uint8), axis=1, count=g)
        # The sum is that of the data less twice what is flipped.
        flipped = bits.astype(np.float32) @ differences.T
        larger += (flipped < -near).sum(axis=0)
        same += (np.abs(flipped) <= near).sum(axis=0)
    return SignFlips(larger / FLIPS, same / FLIPS)
