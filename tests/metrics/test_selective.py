"""Selective following and calibration: oracle values, properties, order of rows, no value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix_at_thresholds, roc_auc_score

from selfj_eval import metrics

coarse = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def arrays(oracles: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    score, tiefree, gold = (
        np.array(oracles["data"][name], dtype=float) for name in ("score", "score_tiefree", "gold")
    )
    return score, tiefree, gold


def test_selective_oracles(oracles: dict[str, Any], arrays: Any) -> None:
    score, tiefree, gold = arrays
    bad = gold < 7
    wanted, exact = oracles["selective"], {"rel": 1e-9}
    curve = metrics.risk_coverage(score, bad)
    assert curve.threshold.tolist() == wanted["thresholds"]
    assert curve.coverage == pytest.approx(wanted["coverage"], **exact)
    assert 1 - curve.risk == pytest.approx(wanted["selective_accuracy"], **exact)
    assert metrics.auroc(curve).value == pytest.approx(wanted["auroc"], **exact)
    assert metrics.augrc(curve).value == pytest.approx(wanted["augrc"], **exact)
    assert metrics.aurc(curve).value == pytest.approx(wanted["aurc_mean_tie_expected"], **exact)
    best, worst = wanted["aurc_mean_min_max_over_tie_orders"]
    assert best < metrics.aurc(curve).value < worst
    excess = wanted["aurc_mean_tie_expected"] - wanted["aurc_star_finite_n"]
    assert metrics.excess_aurc(curve).value == pytest.approx(excess, **exact)
    for risk in ("0.40", "0.35"):
        found = metrics.coverage_at_risk(curve, float(risk))
        assert found.value == pytest.approx(wanted[f"coverage_at_risk_le_{risk}"], **exact)
    perfect = metrics.augrc(metrics.risk_coverage(gold, bad)).value
    assert perfect == pytest.approx(wanted["augrc_star"], **exact)
    assert metrics.augrc(curve).value - perfect == pytest.approx(wanted["eaugrc"], **exact)
    graded = metrics.risk_coverage(score, 1 - (gold - 1) / 9)
    residual = wanted["continuous_residual_1-(gold-1)/9"]
    assert metrics.augrc(graded).value == pytest.approx(residual["fd_augrc"], **exact)
    free = metrics.risk_coverage(tiefree, bad)
    for name, key in (("auroc", "auroc"), ("augrc", "fd_augrc"), ("aurc", "mean_aurc")):
        value = getattr(metrics, name)(free).value
        assert value == pytest.approx(wanted["tiefree"][key], **exact)


def test_other_conventions_of_aurc_follow_from_the_same_curve(
    oracles: dict[str, Any], arrays: Any
) -> None:
    """The curve is the one other implementations see; only their area under it differs."""
    score, tiefree, gold = arrays
    wanted = oracles["selective"]
    for values, key, want in (
        (score, "aurc_fdshifts_trapezoid", wanted),
        (tiefree, "fd_aurc", wanted["tiefree"]),
    ):
        curve = metrics.risk_coverage(values, gold < 7)
        # fd-shifts starts the curve at coverage 0 with the risk of the first group.
        x = np.append(0.0, curve.coverage)
        y = np.append(curve.risk[0], curve.risk)
        assert np.trapezoid(y, x) == pytest.approx(want[key], rel=1e-6)
    stable = metrics.risk_coverage(-np.arange(12), gold < 7)  # one of the orders within ties
    assert metrics.aurc(stable).value == pytest.approx(wanted["aurc_mean_stable_order_lmpolygraph"])


def test_prr_oracles(oracles: dict[str, Any], arrays: Any) -> None:
    _, score, gold = arrays  # the oracle ranks without ties
    for name, loss in (("binary", gold < 7), ("graded", 1 - (gold - 1) / 9)):
        wanted = oracles["prr"][name]["prr_analytic_random"]
        found = metrics.prr(metrics.risk_coverage(score, loss)).value
        assert found == pytest.approx(wanted, rel=1e-9)


def test_calibration_oracles(oracles: dict[str, Any], arrays: Any) -> None:
    score, _, gold = arrays
    good, wanted = gold >= 7, oracles["calibration"]
    p = score / 9
    for bins, value in wanted["ece"].items():
        assert metrics.ece(p, good, bins=int(bins)).value == pytest.approx(value, rel=1e-9)
    assert metrics.score_ece(score, good).value == pytest.approx(wanted["ece"]["10"], rel=1e-9)
    assert metrics.brier(p, good).value == pytest.approx(wanted["brier"], rel=1e-9)
    assert metrics.log_loss(p, good).value == pytest.approx(wanted["log_loss"], rel=1e-9)
    isotonic = metrics.fit_isotonic(score, good)
    assert isotonic(score) == pytest.approx(wanted["isotonic_fit"])
    assert isotonic([5.75]) == pytest.approx([wanted["isotonic_predict_5.75"]])
    platt, smoothed = metrics.fit_platt(score, good), wanted["platt_smoothed_sklearn"]
    assert platt == pytest.approx((-smoothed["A"], -smoothed["B"]), rel=1e-4)
    exact, mle = metrics.calibration.fit_logistic(score, good), wanted["platt_mle"]
    assert exact == pytest.approx((mle["coef"], mle["intercept"]), rel=1e-6)
    edge = wanted["edge_case"]
    found = metrics.ece(edge["p"], edge["y"], bins=5).value
    assert found == pytest.approx(edge["ece5_right_closed"], rel=1e-9)


@given(coarse)
def test_augrc_follows_from_auroc_and_accuracy(rows: list[tuple[int, int]]) -> None:
    score, rating = np.array(rows, dtype=float).T
    good = rating >= 2
    curve = metrics.risk_coverage(score, ~good)
    accuracy = good.mean()
    if good.all() or not good.any():
        assert metrics.auroc(curve).value is None
        assert f"all {len(rows)} answers are" in str(metrics.auroc(curve).undefined)
        return
    area = metrics.auroc(curve).value
    assert area == pytest.approx(roc_auc_score(good, score))
    identity = (1 - area) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    assert metrics.augrc(curve).value == pytest.approx(identity)
    _, false_positives, _, true_positives, thresholds = confusion_matrix_at_thresholds(good, score)
    assert curve.threshold.tolist() == thresholds.tolist()
    accepted = true_positives + false_positives
    assert curve.accepted.tolist() == accepted.tolist()
    assert curve.loss.tolist() == false_positives.tolist()


@given(coarse)
def test_aurc_is_the_mean_over_the_orders_within_ties(rows: list[tuple[int, int]]) -> None:
    score, rating = np.array(rows, dtype=float).T
    loss = rating / 3
    found = metrics.aurc(metrics.risk_coverage(score, loss)).value
    rng = np.random.default_rng(0)
    values = []
    for _ in range(400):
        order = np.lexsort((rng.random(len(rows)), -score))
        risks = np.cumsum(loss[order]) / np.arange(1, len(rows) + 1)
        values.append(risks.mean())
    spread = np.std(values) / 20
    assert abs(found - np.mean(values)) <= 5 * spread + 1e-9


@given(coarse, st.randoms(use_true_random=False))
def test_no_row_order_matters(rows: list[tuple[int, int]], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, two = (np.array(r, dtype=float).T for r in (rows, shuffled))
    for a, b in zip(
        metrics.headline(one[0], one[1], one[1] >= 2),
        metrics.headline(two[0], two[1], two[1] >= 2),
        strict=True,
    ):
        assert a.undefined == b.undefined
        assert a.value == pytest.approx(b.value, abs=1e-12)
    for method in ("isotonic", "platt"):
        p, q = (metrics.cross_fitted(r[0], r[1] >= 2, method) for r in (one, two))
        assert (p is None) == (q is None) == (len(rows) < 10)
        if p is not None and q is not None:
            assert sorted(p) == pytest.approx(sorted(q), abs=1e-6)


@given(coarse)
def test_prr_and_excess_of_perfect_and_reversed_orders(rows: list[tuple[int, int]]) -> None:
    rating = np.array(rows, dtype=float).T[1]
    loss = rating / 3
    perfect = metrics.risk_coverage(-rating, loss)
    assert metrics.excess_aurc(perfect).value == pytest.approx(0, abs=1e-12)
    if len(set(rating)) == 1:
        assert "all" in str(metrics.prr(perfect).undefined)
        return
    assert metrics.prr(perfect).value == pytest.approx(1)
    assert metrics.prr(metrics.risk_coverage(rating, loss)).value < 0
    shifted = metrics.risk_coverage(-rating, 0.2 + loss / 2)
    assert metrics.prr(shifted).value == pytest.approx(1)


@given(coarse, st.integers(1, 20))
def test_ece_and_reliability(rows: list[tuple[int, int]], bins: int) -> None:
    p, rating = np.array(rows, dtype=float).T
    p, good = p / 4, rating >= 2
    table = metrics.reliability(p, good, bins=bins)
    assert table.size.sum() == len(rows)
    assert ((table.predicted >= table.low) & (table.predicted <= table.high)).all()
    assert metrics.ece(good.astype(float), good, bins=bins).value == 0
    assert 0 <= metrics.ece(p, good, bins=bins).value <= 1


def test_cross_fitting_calibrates_without_seeing_the_answer() -> None:
    rng = np.random.default_rng(1)
    score = rng.uniform(0, 9, 4000)
    good = rng.random(4000) < 1 / (1 + np.exp(-2 * (score - 6)))
    for method in ("isotonic", "platt"):
        p = metrics.cross_fitted(score, good, method)
        assert metrics.ece(p, good).value < 0.02 < 0.1 < metrics.ece(score / 9, good).value
    # Whole-number scores tie: folds dealt by label within ties would know the held-out labels.
    gaps: dict[str, list[float]] = {"held out": [], "fresh": []}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        draws = [rng.integers(0, 10, 300) for _ in range(2)]
        labels = [rng.random(300) < d / 12 for d in draws]
        p = metrics.cross_fitted(draws[0], labels[0], "isotonic")
        fresh = metrics.fit_isotonic(draws[0], labels[0])(draws[1])
        gaps["held out"].append(metrics.brier(p, labels[0]).value)
        gaps["fresh"].append(metrics.brier(fresh, labels[1]).value)
    assert np.mean(gaps["held out"]) == pytest.approx(np.mean(gaps["fresh"]), abs=0.004)
    # Answers of one group are never on both sides.
    one = metrics.cross_fitted(np.arange(40.0), np.arange(40) % 2, "platt", group=np.zeros(40))
    assert one is None
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 2, 400).astype(bool)  # labels that scores say nothing about
    p = metrics.cross_fitted(rng.permutation(400.0 * np.arange(400)), noise, "isotonic")
    assert metrics.brier(p, noise).value > 0.23  # fitted to the same answers it would be near 0.2


def test_no_value_has_a_reason() -> None:
    empty = metrics.risk_coverage([], [])
    for name in ("auroc", "augrc", "aurc", "excess_aurc", "prr"):
        assert getattr(metrics, name)(empty) == (None, 0, "no scored records", None)
    assert metrics.coverage_at_risk(empty, 0.5).undefined == "no scored records"
    assert metrics.coverage_at_risk(metrics.risk_coverage([1], [1]), 0.5).value == 0
    assert metrics.ece([], []).undefined == metrics.brier([], []).undefined == "no scored records"
    assert metrics.prr(metrics.risk_coverage([1, 2], [1, 1])).undefined == "all 2 answers are bad"
    assert "infinite: 1 outcomes" in str(metrics.log_loss([0.0, 1.0], [True, True]).undefined)
    assert "not on 0..9" in str(metrics.score_ece([1, 12], [0, 1]).undefined)
    with pytest.raises(ValueError, match="no scored records to calibrate"):
        metrics.fit_platt([], [])
    # Platt's targets keep one kind of answer from being certain.
    alone = metrics.fit_platt([1.0, 2.0, 3.0], [True, True, True])
    assert alone([2.0])[0] == pytest.approx(0.8, abs=0.01)


def test_wrong_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"losses must lie in \[0, 1\], got 0 to 2"):
        metrics.risk_coverage([1, 2], [0, 2])
    with pytest.raises(ValueError, match=r"probabilities must lie in \[0, 1\]"):
        metrics.ece([0.5, 1.5], [0, 1])
    with pytest.raises(ValueError, match="bins must be at least 1"):
        metrics.ece([0.5], [1], bins=0)
    with pytest.raises(ValueError, match="coverage must lie in"):
        metrics.accuracy_at_coverage(metrics.risk_coverage([1], [0]), 0)
