from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfj_eval.metrics import auroc, kendall_tau_b, pearson, preference_accuracy, spearman

CORRELATIONS = (pearson, spearman, kendall_tau_b)
coarse = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=2, max_size=40
)  # many ties


def test_oracle_values(data: Path) -> None:
    oracles = json.loads((data.parent / "oracles" / "metrics.json").read_text())
    score, gold = (np.array(oracles["data"][name]) for name in ("score", "gold"))
    wanted = oracles["correlation"]
    assert pearson(score, gold).value == pytest.approx(wanted["pearson"], rel=1e-12)
    assert spearman(score, gold).value == pytest.approx(wanted["spearman"], rel=1e-12)
    assert kendall_tau_b(score, gold).value == pytest.approx(wanted["tau_b"], rel=1e-12)
    area = auroc(score, gold >= 7).value
    assert area == pytest.approx(oracles["selective"]["auroc"], rel=1e-12)


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
    assert metric([1.0], [2.0]).undefined == "only 1 scored records; at least 2 are needed"
    assert metric([1.0, 1.0 + 1e-15], [1.0, 2.0]).undefined == "all 2 scores are equal (1)"
    assert metric([1.0, 2.0, 3.0], [5, 5, 5]).undefined == "all 3 ratings are equal (5)"


@given(coarse)
def test_auroc_is_the_share_of_well_ordered_pairs(rows: list[tuple[int, int]]) -> None:
    score = np.array([s for s, _ in rows], dtype=float)
    good = np.array([r >= 3 for _, r in rows])
    result = auroc(score, good)
    if good.all() or not good.any():
        assert result.value is None
        assert f"all {len(rows)} answers are" in str(result.undefined)
        return
    difference = score[good][:, None] - score[~good][None, :]
    wanted = (difference > 0).mean() + 0.5 * (difference == 0).mean()
    assert result.value == pytest.approx(wanted)


@pytest.mark.parametrize("metric", [*CORRELATIONS, auroc])
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
    assert result.decided == pytest.approx((1.5 / 3, 3, None))
    assert result.with_ties == pytest.approx((2 / 5, 5, None))
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
