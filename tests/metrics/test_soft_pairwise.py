"""Soft pairwise accuracy: against the oracle, and against all sign changes one by one."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from selfj_eval.metrics import soft_pairwise, soft_pairwise_accuracy
from selfj_eval.metrics.soft_pairwise import sign_flips


def accuracy(score: np.ndarray, rating: np.ndarray, **given: Any) -> Any:
    """Of matrices of systems and instructions; NaN where there is no answer."""
    system, instruction = np.nonzero(np.isfinite(score))
    cells = (system, instruction)
    return soft_pairwise_accuracy(score[cells], rating[cells], *cells, **given)


def p_value(first: np.ndarray, second: np.ndarray) -> float:
    """One-sided p-value by every sign change; those with the same sum count half."""
    gaps = (first - second)[np.isfinite(first - second)]
    sums = np.array([np.dot(signs, gaps) for signs in product((-1, 1), repeat=len(gaps))])
    above = sums > gaps.sum() + 1e-9
    equal = np.abs(sums - gaps.sum()) <= 1e-9
    return float(above.mean() + equal.mean() / 2)


def by_hand(score: np.ndarray, rating: np.ndarray) -> float:
    apart = []
    for i, j in combinations(range(len(score)), 2):
        if np.isfinite(score[i] - score[j]).any():
            apart.append(abs(p_value(score[i], score[j]) - p_value(rating[i], rating[j])))
    return 1 - float(np.mean(apart))


@pytest.fixture
def matrices(inference: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    main = inference["data"]["main"]
    cells = (np.array(main["model"]), np.array(main["instruction"]))
    score, rating = np.full((5, 24), np.nan), np.full((5, 24), np.nan)
    score[cells], rating[cells] = main["score"], main["rating"]
    return score, rating


def test_oracle(inference: dict[str, Any], matrices: tuple[np.ndarray, np.ndarray]) -> None:
    score, rating = matrices
    wanted = inference["d_pairwise"]["soft_pairwise_accuracy"]
    pairs = list(combinations(range(5), 2))
    people, judge = sign_flips(rating, pairs), sign_flips(score, pairs)
    # There, a sign change that gives the same mean counts in full.
    in_full = [found.above + found.equal for found in (people, judge)]
    assert in_full[0] == pytest.approx(wanted["p_human_exact"], rel=1e-6)
    assert in_full[1] == pytest.approx(wanted["p_judge_exact"], rel=1e-6)
    assert 1 - np.abs(in_full[0] - in_full[1]).mean() == pytest.approx(wanted["exact"], rel=1e-6)
    found = accuracy(score, rating)
    assert found.n == 10
    assert found.value == pytest.approx(1 - np.abs(people.p - judge.p).mean(), rel=1e-12)
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):  # in full, it would depend on this
        assert accuracy(score[order], rating[order]).value == pytest.approx(found.value, rel=1e-9)


@pytest.mark.parametrize("step", [1.0, 2.25, 1 / 3, 0.01])
def test_every_sign_change_is_counted(step: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        score, rating = step * rng.integers(0, 9, (4, 9)), 0.5 * rng.integers(0, 5, (4, 9))
        found = accuracy(score, rating)
        assert found.n == 6
        assert found.value == pytest.approx(by_hand(score, rating), abs=1e-9)


def test_pairs_are_compared_on_the_instructions_they_share() -> None:
    rng = np.random.default_rng(2)
    score, rating = rng.integers(0, 9, (2, 5, 12)).astype(float)
    missing = rng.random((5, 12)) < 0.4
    missing[0, :6] = missing[1, 6:] = True  # these two share none
    score[missing] = rating[missing] = np.nan
    found = accuracy(score, rating)
    assert found.n == 9
    assert found.value == pytest.approx(by_hand(score, rating), abs=1e-9)
    # Of two answers of a system to an instruction, the mean counts.
    system, instruction = np.nonzero(np.isfinite(score))
    twice = [np.concatenate([x, x]) for x in (system, instruction)]
    either = [
        np.concatenate([x[system, instruction] + 1, x[system, instruction] - 1])
        for x in (score, rating)
    ]
    assert soft_pairwise_accuracy(*either, *twice).value == pytest.approx(found.value, abs=1e-9)


def test_drawn_sign_changes_are_near_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    score, rating = rng.normal(size=(4, 10)), rng.integers(0, 5, (4, 10)).astype(float)
    found = accuracy(score, rating)  # on no grid
    assert found.value == pytest.approx(by_hand(score, rating), abs=0.01)
    assert found == accuracy(score, rating) != accuracy(score, rating, seed=1)
    pairs = list(combinations(range(4), 2))
    exact = sign_flips(rating, pairs)
    monkeypatch.setattr(soft_pairwise, "_MOST_TERMS", 0)
    drawn = sign_flips(rating, pairs)
    assert np.abs(drawn.p - exact.p).max() < 0.02
    assert np.abs(drawn.equal - exact.equal).max() < 0.02
    assert exact.equal.max() > 0.05
    back = sign_flips(rating, [(j, i) for i, j in pairs])
    assert back.p == pytest.approx(1 - drawn.p)


def test_the_unit_of_the_scores_does_not_matter() -> None:
    """Probabilities of sequences are as small as 1e-60."""
    rng = np.random.default_rng(4)
    score = rng.normal(size=(4, 40))
    rating = np.clip(np.round(score + rng.normal(size=(4, 40)) + 3), 0, 6)
    plain = accuracy(score, rating).value
    for unit in (1e-60, 1e39):
        assert accuracy(score * unit, rating).value == pytest.approx(plain, abs=1e-3)


def test_what_it_is_about() -> None:
    rng = np.random.default_rng(4)
    rating = np.round(rng.normal(5, 2, (3, 40)))
    assert accuracy(rating, rating).value == 1
    assert accuracy(10 * rating + 3, rating).value == pytest.approx(1)
    # A sure difference the other way round is as wrong as can be; an unsure one costs nothing.
    sure = np.array([rating[0], rating[0] + 3])
    assert accuracy(-sure, sure).value == pytest.approx(0, abs=1e-9)
    unsure = np.array([rating[0], np.where(np.arange(40) < 20, rating[0] + 1, rating[0] - 1)])
    assert accuracy(-unsure, unsure).value == pytest.approx(1)
    equal = np.array([rating[0], rating[0]])
    assert accuracy(equal, unsure).value == pytest.approx(1)


def test_no_value_has_a_reason() -> None:
    assert soft_pairwise_accuracy([], [], [], []).undefined == (
        "no two systems have an instruction in common"
    )
    apart = soft_pairwise_accuracy([1, 2], [1, 2], ["a", "b"], ["x", "y"])
    assert apart.undefined == "no two systems have an instruction in common"
    many = np.arange(5000)
    found = soft_pairwise_accuracy(many, many, many, many % 7)
    assert (found.value, found.n) == (None, 0)
    assert "5,000 systems on 7 instructions make 87,482,500 differences" in str(found.undefined)
    with pytest.raises(ValueError, match="group must have shape"):
        soft_pairwise_accuracy([1, 2], [1, 2], ["a", "b"], ["x"])
