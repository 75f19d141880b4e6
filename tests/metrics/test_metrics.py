from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfj_eval.metrics import (
    Concordance,
    acc23,
    accuracy_of_counts,
    kendall_tau_b,
    pair_counts,
    partial_correlation,
    pearson,
    preference_accuracy,
    risk_coverage,
    spearman,
)

CORRELATIONS = (pearson, spearman, kendall_tau_b)
coarse = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=2, max_size=40
)  # many ties


def test_correlation_oracles(oracles: dict[str, Any]) -> None:
    score, gold = (np.array(oracles["data"][name], float) for name in ("score", "gold"))
    wanted = oracles["correlation"]
    for function, name, bounds in (
        (pearson, "pearson", "pearson_fisher95"),
        (spearman, "spearman", "spearman_bonett_wright95"),
        (kendall_tau_b, "tau_b", "tau_b_fieller95"),
    ):
        found = function(score, gold)
        assert found.value == pytest.approx(wanted[name], rel=1e-12)
        assert found.interval is not None
        assert found.interval[:2] == pytest.approx(wanted[bounds], rel=1e-6)


def test_pair_oracles(oracles: dict[str, Any]) -> None:
    score, gold = (np.array(oracles["data"][name], float) for name in ("score", "gold"))
    wanted = oracles["pairwise"]
    found = Concordance.of(score, gold)
    assert (found.concordant, found.discordant) == (wanted["concordant"], wanted["discordant"])
    ties = (found.tied_score, found.tied_rating, found.tied_both)
    assert ties == (wanted["tie_score_only"], wanted["tie_gold_only"], wanted["tie_both"])
    assert acc23(score, gold).value == pytest.approx(wanted["acc23"], rel=1e-12)
    # The same over labelled pairs, where scores may also tie when they are near.
    i, j = np.triu_indices(len(score), 1)
    for epsilon, name in ((0, "acc23"), (0.5, "acc23_eps0.5"), (1.0, "acc23_eps1.0")):
        pairs = preference_accuracy(score[i], score[j], np.sign(gold[i] - gold[j]), epsilon=epsilon)
        assert pairs.with_ties.value == pytest.approx(wanted[name], rel=1e-12)


@given(coarse)
def test_acc23_counts_every_pair(rows: list[tuple[int, int]]) -> None:
    x, y = np.array(rows, dtype=float).T
    if len(set(y)) == 1:
        assert "ratings are equal" in str(acc23(x, y).undefined)
        return
    i, j = np.triu_indices(len(rows), 1)
    right = np.sign(x[i] - x[j]) == np.sign(y[i] - y[j])
    assert acc23(x, y).value == pytest.approx(right.mean())


@given(coarse)
def test_accuracy_within_groups(rows: list[tuple[int, int]]) -> None:
    x, y = np.array(rows, dtype=float).T
    group = np.arange(len(rows)) // 3
    i, j = np.triu_indices(len(rows), 1)
    same = group[i] == group[j]
    wanted = preference_accuracy(x[i][same], x[j][same], np.sign(y[i] - y[j])[same])
    found = accuracy_of_counts(pair_counts(x, y, group))
    assert found.decided.value == pytest.approx(wanted.decided.value)
    assert found.with_ties == pytest.approx(wanted.with_ties)
    shuffled = np.random.default_rng(0).permutation(len(rows))
    again = accuracy_of_counts(pair_counts(x[shuffled], y[shuffled], group[shuffled]))
    assert again.decided == pytest.approx(found.decided)
    assert again.with_ties == pytest.approx(found.with_ties)
    alone = accuracy_of_counts(pair_counts(x, y, np.arange(len(rows))))
    assert alone.decided.undefined == "no two scored answers are to the same instruction"


def test_accuracy_within_groups_of_all_sizes() -> None:
    """Groups of few answers and of many are counted in two ways, which have to agree."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(6), (1, 2, 127, 128, 129, 400)))
    x, y = rng.integers(0, 9, len(group)) / 2, rng.integers(0, 5, len(group)) * 1.0
    counts = []
    for k in range(6):
        a, b = x[group == k], y[group == k]
        i, j = np.triu_indices(len(a), 1)
        found, truth = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
        right = np.where(found == 0, 0.5, found == truth)[truth != 0].sum()
        counts.append((right, (truth != 0).sum(), (found == truth).sum(), len(i)))
    assert pair_counts(x, y, group).tolist() == np.array(counts, dtype=float).tolist()


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_pearson_of_values_whose_squares_are_no_numbers(factor: float) -> None:
    x, y = [1.0, 2.0, 4.0, 3.0], [1.0, 2.0, 3.0, 5.0]
    assert pearson(np.array(x) * factor, y).value == pytest.approx(pearson(x, y).value)


@given(coarse)
def test_partial_correlation_is_that_of_the_residuals(rows: list[tuple[int, int]]) -> None:
    from scipy.stats import rankdata

    x, y = np.array(rows, dtype=float).T
    given_ = np.random.default_rng(len(rows)).permutation(len(rows)).astype(float)
    found = partial_correlation(x, y, given_)
    if found.value is None:
        assert found.undefined
        return
    ranks = [rankdata(v) for v in (x, y, given_)]
    design = np.column_stack([np.ones(len(rows)), ranks[2]])
    left = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks[:2]]
    assert found.value == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-6)


@pytest.mark.parametrize("metric", CORRELATIONS)
@given(rows=coarse)
def test_correlations(metric: object, rows: list[tuple[int, int]]) -> None:
    assert callable(metric)
    x, y = np.array(rows, dtype=float).T
    result = metric(x, y)
    assert result.n == len(rows)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert result.value is None
        assert "are equal" in result.undefined
        return
    assert -1 - 1e-12 <= result.value <= 1 + 1e-12
    shuffled = np.random.default_rng(len(rows)).permutation(len(rows))
    assert metric(x[shuffled], y[shuffled]).value == pytest.approx(result.value, abs=1e-12)
    assert metric(2 * x + 1, -y).value == pytest.approx(-result.value, abs=1e-12)


@pytest.mark.parametrize("metric", CORRELATIONS)
def test_no_value_has_a_reason(metric: object) -> None:
    assert callable(metric)
    assert metric([], []).undefined == "only 0 scored records; at least 2 are needed"
    assert metric([1.0], [2.0]).undefined == "only 1 scored record; at least 2 are needed"
    assert metric([1.0, 1.0 + 1e-15], [1.0, 2.0]).undefined == "all 2 scores are equal (1)"
    assert metric([1.0, 2.0, 3.0], [5, 5, 5]).undefined == "all 3 ratings are equal (5)"


@pytest.mark.parametrize("metric", [*CORRELATIONS, acc23, risk_coverage])
def test_wrong_arrays_are_refused(metric: object) -> None:
    assert callable(metric)
    with pytest.raises(ValueError, match=r"got \(2,\) and \(3,\)"):
        metric([1, 2], [1, 0, 1])
    with pytest.raises(ValueError, match="NaN or infinity"):
        metric([1, math.nan], [1, 0])


def test_preference_accuracy() -> None:
    a, b = [5.0, 3.0, 4.0, 4.0, 6.0], [4.0, 4.0, 4.0, 4.0, 1.0]
    label = [1, 1, 1, 0, 0]
    result = preference_accuracy(a, b, label)
    assert result.decided == pytest.approx((1.5 / 3, 3, None, None))
    assert result.with_ties == pytest.approx((2 / 5, 5, None, None))
    wide = preference_accuracy(a, b, label, epsilon=1.0)
    assert wide.decided.value == pytest.approx(0.5)
    assert wide.with_ties.value == pytest.approx(1 / 5)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([-1, 0, 1]))))
def test_swapping_the_sides_changes_nothing(rows: list[tuple[int, int, int]]) -> None:
    a, b, label = np.array(rows, dtype=float).reshape(-1, 3).T
    assert preference_accuracy(a, b, label) == preference_accuracy(b, a, -label)


def test_preferences_without_a_value_or_sense() -> None:
    assert preference_accuracy([], [], []).decided.undefined == "no scored pairs"
    only_ties = preference_accuracy([1, 2], [1, 1], [0, 0])
    assert only_ties.decided.undefined == "all 2 labels are ties"
    assert only_ties.with_ties.value == 0.5
    with pytest.raises(ValueError, match="labels must be"):
        preference_accuracy([1], [2], [2])
    with pytest.raises(ValueError, match="epsilon must be at least 0"):
        preference_accuracy([1], [2], [1], epsilon=-1)
