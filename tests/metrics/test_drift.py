"""Whether new numbers are distributed as older ones of which a histogram is left."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from selfj_eval.metrics import Histogram, drift, histogram


def test_a_histogram_counts_every_number_once() -> None:
    found = histogram(np.arange(100))
    assert found.edges == [9, 19, 29, 39, 49, 59, 69, 79, 89]  # a bin ends with its edge
    assert found.counts == [10] * 10
    ties = histogram([3.0] * 50 + [7.0] * 50)
    assert (ties.edges, ties.counts) == ([3, 7], [50, 50, 0])
    assert histogram([]) == Histogram([], [0])


def test_the_p_value_is_that_of_the_table_of_counts() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.normal(size=500), rng.normal(0.3, size=120)
    kept = histogram(before)
    bins = [-np.inf, *kept.edges, np.inf]
    table = [
        [((low < x) & (x <= high)).sum() for low, high in itertools.pairwise(bins)]
        for x in (before, now)
    ]
    found = drift(kept, now)
    assert (found.before, found.now) == (500, 120)
    assert found.p_value == pytest.approx(chi2_contingency(table, correction=False).pvalue)


@pytest.mark.parametrize("digits", [0, 6], ids=["coarse", "continuous"])
def test_no_drift_is_seen_where_there_is_none_and_one_where_there_is(digits: int) -> None:
    rng = np.random.default_rng(digits)
    seen = {0.0: 0, 0.5: 0}
    for shift in seen:
        for _ in range(1000):
            kept = histogram(rng.normal(5, 1.5, 300).round(digits))
            p_value = drift(kept, rng.normal(5 + 1.5 * shift, 1.5, 150).round(digits)).p_value
            seen[shift] += p_value is not None and p_value < 0.05
    assert seen[0.0] / 1000 <= 0.05 + 3 * 0.0069
    assert seen[0.5] / 1000 > 0.9


def test_too_few_numbers_give_no_p_value() -> None:
    kept = histogram(np.arange(100))
    assert drift(kept, []).p_value is None
    assert drift(kept, [1.0] * 5).p_value is None
    assert drift(kept, [1.0] * 30).p_value is not None
    assert drift(histogram([2.0] * 40), [2.0] * 40).p_value is None
