"""Two scores to a preference, and the temperature that fits given preferences."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import expit

from selfj_eval.alpaca.preference import (
    TEMPERATURE,
    default_temperature,
    fit_temperature,
    preference,
)


@pytest.fixture
def gaps() -> np.ndarray:
    return np.random.default_rng(7).normal(0.4, 2.0, 5000)


@pytest.mark.parametrize("temperature", [0, 0.01, 0.5, TEMPERATURE, 40])
def test_a_preference_is_between_1_and_2_and_turns_with_the_sides(
    gaps: np.ndarray, temperature: float
) -> None:
    ours, theirs = np.zeros(len(gaps)), gaps
    found = preference(ours, theirs, temperature)
    assert found.shape == gaps.shape
    assert (found >= 1).all() and (found <= 2).all()
    assert found == pytest.approx(3 - preference(theirs, ours, temperature), abs=1e-15)
    assert ((found > 1.5) == (theirs > ours)).all()


def test_the_values_of_the_documented_formula() -> None:
    assert preference([5.0], [6.0], 1.0) == pytest.approx([1 + np.e / (1 + np.e)])
    assert preference([5.0], [6.0], 0.5) == pytest.approx([1 + 1 / (1 + np.exp(-2))])
    assert preference([5.0, 9.0], [5.0, 9.0], 0.3) == pytest.approx([1.5, 1.5])


def test_temperature_0_is_the_limit(gaps: np.ndarray) -> None:
    some = np.append(np.round(gaps, 1), 0.0)  # ties among them
    hard = preference(np.zeros(len(some)), some, 0)
    assert set(hard) == {1.0, 1.5, 2.0}
    assert hard == pytest.approx(preference(np.zeros(len(some)), some, 1e-4), abs=1e-12)


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_an_unscored_answer_has_no_preference(temperature: float) -> None:
    found = preference([np.nan, 3, 3, np.nan], [3, np.nan, 4, np.nan], temperature)
    assert np.isnan(found).tolist() == [True, True, False, True]


def test_huge_gaps_do_not_overflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = preference([0.0, 1e6, 0.0, 1e300], [1e6, -1e6, 1e300, 0.0], 1e-3)
    assert found.tolist() == [2.0, 1.0, 2.0, 1.0]


@pytest.mark.parametrize("temperature", [-1, np.inf, np.nan])
def test_an_impossible_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        preference([1.0], [2.0], temperature)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 6.0])
def test_the_temperature_behind_soft_labels_is_found(gaps: np.ndarray, temperature: float) -> None:
    found = fit_temperature(gaps, preference(np.zeros(len(gaps)), gaps, temperature))
    assert found.n == len(gaps)
    assert found.temperature == pytest.approx(temperature, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_the_temperature_behind_wins_and_losses_is_found(temperature: float) -> None:
    rng = np.random.default_rng(8)
    gaps = rng.normal(0.4, 2.0, 40_000)
    wins = rng.random(len(gaps)) < expit(gaps / temperature)
    found = fit_temperature(gaps, 1.0 + wins)
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    p = expit(gaps / found.temperature)
    assert found.log_loss == pytest.approx(-np.log(np.where(wins, p, 1 - p)).mean())


def test_the_fit_equals_logistic_regression_through_the_origin(gaps: np.ndarray) -> None:
    """Soft labels as weighted rows of either label, fitted by another library."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(9)
    given = np.clip(expit(gaps / 2) + rng.normal(0, 0.2, len(gaps)), 0, 1)
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
    model.fit(
        np.concatenate([gaps, gaps])[:, None],
        np.repeat([1, 0], len(gaps)),
        sample_weight=np.concatenate([given, 1 - given]),
    )
    found = fit_temperature(gaps, 1 + given)
    assert found.temperature == pytest.approx(1 / model.coef_[0, 0], rel=1e-4)


@pytest.mark.parametrize("scale", [10.0, 1e-3, 1e5])
def test_scores_in_another_unit_have_their_temperature_in_that_unit(
    gaps: np.ndarray, scale: float
) -> None:
    given = 1.0 + (np.random.default_rng(10).random(len(gaps)) < expit(gaps))
    one, other = fit_temperature(gaps, given), fit_temperature(scale * gaps, given)
    assert other.temperature == pytest.approx(scale * one.temperature, rel=1e-6)
    assert other.log_loss == pytest.approx(one.log_loss, rel=1e-9)


def test_a_few_huge_gaps_do_not_decide_the_temperature(gaps: np.ndarray) -> None:
    """Lengths in characters have such gaps."""
    some = np.append(gaps, [50_000.0, -50_000.0])
    given = preference(np.zeros(len(some)), some, 1.0)
    assert fit_temperature(some, given).temperature == pytest.approx(1.0, rel=1e-3)


def test_there_is_no_temperature_where_preferences_fall_with_the_score(gaps: np.ndarray) -> None:
    for given in (preference(gaps, np.zeros(len(gaps)), 1.0), np.full(len(gaps), 1.5)):
        found = fit_temperature(gaps, given)
        assert found.temperature is None
        assert found.log_loss == pytest.approx(np.log(2))
        assert found.n == len(gaps)
    assert fit_temperature([0.0, 0.0], [1.0, 2.0]).temperature is None


@pytest.mark.parametrize(("gap", "given"), [([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[2.0]])])
def test_arrays_that_do_not_belong_together_are_refused(gap: list, given: list) -> None:
    with pytest.raises(ValueError, match="expected two arrays"):
        fit_temperature(gap, given)


def test_the_default_temperature_is_in_proportion_to_the_scale() -> None:
    ours, theirs = np.array([3.0, 9.0, 0.0]), np.array([4.0, 0.0, 0.0])
    usual = preference(ours, theirs, default_temperature((0, 9)))
    assert default_temperature((0, 9)) == TEMPERATURE
    fifth = preference(ours / 9 * 4 + 1, theirs / 9 * 4 + 1, default_temperature((1, 5)))
    assert fifth == pytest.approx(usual)
