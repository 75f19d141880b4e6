"""Whether new numbers are distributed as those that a compact summary was made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from selfj_eval.jobs.arguments import Numbers, numbers

BINS = 10
_FEWEST = 5  # that a bin must be expected to hold: the usual rule for the chi-squared approximation
TEST = "chi-squared test of homogeneity"


class Histogram(NamedTuple):
    """A compact summary of numbers.

    Attributes:
        edges: Increasing; a bin ends at each, itself included, and one is above the last.
        counts: How many of the numbers each bin holds: one more than there are edges.
    """

    edges: list[float]
    counts: list[int]


class Drift(NamedTuple):
    """A comparison of two samples.

    Attributes:
        p_value: Of "both come from one distribution"; None where there are too few numbers.
        before, now: Sizes of the two samples.
    """

    p_value: float | None
    before: int
    now: int


def histogram(values: Numbers) -> Histogram:
    """Numbers in at most ten bins of about equal counts.

    Args:
        values: Shape (n,), finite, independent.
    """
    x = numbers(values, "values")
    levels = np.arange(1, BINS) / BINS
    edges = np.unique(np.quantile(x, levels, method="lower")) if len(x) else x
    return Histogram(edges.tolist(), _counts(x, edges).tolist())


def drift(before: Histogram, values: Numbers) -> Drift:
    """Whether numbers have the distribution that a histogram was made of.

    Pearson's chi-squared test of homogeneity of the two rows of counts. Neighbouring bins are
    put together until each is expected to hold five of the smaller sample. A p-value is for one
    look; it is too small where the numbers are not independent.

    Args:
        before: The histogram.
        values: Shape (n,), finite, independent.
    """
    from scipy.stats import chi2_contingency

    x = numbers(values, "values")
    table = np.array([before.counts, _counts(x, np.array(before.edges))])
    sizes = table.sum(axis=1)
    result = Drift(None, int(sizes[0]), int(sizes[1]))
    if not sizes.all():
        return result
    merged, open_bin = [], np.zeros(2)
    for column in table.T:
        open_bin = open_bin + column
        if open_bin.sum() * sizes.min() / sizes.sum() >= _FEWEST:
            merged.append(open_bin)
            open_bin = np.zeros(2)
    if merged:
        merged[-1] = merged[-1] + open_bin
    if len(merged) < 2:
        return result
    test = chi2_contingency(np.array(merged).T, correction=False)
    return result._replace(p_value=float(test.pvalue))


def _counts(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts: np.ndarray = np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1)
    return counts
