"""A risk promised over instructions, from all answers to each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from selfj_eval.metrics import (
    betting_p_values,
    certify,
    certify_over_instructions,
    losses_over_instructions,
    lowest_risk_over_instructions,
    one_of_each,
    risk_over_instructions,
)


@pytest.mark.parametrize(("kind", "loss"), [("bad", "bad"), ("graded", "loss")])
def test_oracles(inference: dict[str, Any], kind: str, loss: str) -> None:
    data, wanted = inference["data"]["selective"], inference["f_selective_risk"]
    thresholds, alpha = wanted["thresholds"], wanted["alpha"]
    columns = [data["score"], data[loss], data["instruction"]]
    losses = losses_over_instructions(*columns, thresholds=thresholds, max_risk=alpha)
    # The oracle's bets: mean 1/2 and variance 1/4 before the first loss, half of the largest bet.
    p_values = betting_p_values(losses, alpha, error=0.1, prior=(0.5, 0.25), largest=0.5)
    for at, row in enumerate(wanted[kind]):
        assert losses[at].mean() - alpha == pytest.approx(row["mean_z"], rel=1e-6)
        assert p_values[at] == pytest.approx(row["p_betting_predictable"], rel=1e-6)
        risk = risk_over_instructions(*columns, row["threshold"])
        assert risk == pytest.approx(row["risk_instruction_weighted"], rel=1e-6, abs=1e-12)


def test_losses_over_instructions_answer_by_answer() -> None:
    rng = np.random.default_rng(3)
    group = rng.integers(0, 12, 90)
    score, loss = rng.integers(0, 9, 90), rng.random(90)
    thresholds = [9.5, 7.0, 6.5, 3.0, -1.0]
    found = losses_over_instructions(score, loss, group, thresholds=thresholds, max_risk=0.3)
    for at, threshold in enumerate(thresholds):
        for number, name in enumerate(sorted(set(group.tolist()))):
            own = [(s, v) for s, v, g in zip(score, loss, group, strict=True) if g == name]
            each = [v if s >= threshold else 0.3 for s, v in own]
            assert found[at, number] == pytest.approx(sum(each) / len(each))


def test_betting_p_values_step_by_step() -> None:
    losses = np.random.default_rng(0).choice([0.0, 0.2, 0.6], 50, p=[0.4, 0.5, 0.1])
    mean, error = 0.2, 0.0125
    capital = top = 1.0
    average, variance = mean, mean / 4
    total, squares = mean, mean / 4
    for number, loss in enumerate(losses, 2):
        bet = min(math.sqrt(2 * math.log(1 / error) / (50 * variance)), 0.95 / (1 - mean))
        capital *= 1 + bet * (mean - loss)
        top = max(top, capital)
        total += loss
        average = total / number
        squares += (loss - average) ** 2
        variance = squares / number
    assert top > 1
    assert betting_p_values(losses, mean, error=error) == pytest.approx(1 / top)
    assert betting_p_values(np.ones((3, 9)), 0.5, error=0.1).tolist() == [1, 1, 1]
    assert betting_p_values(np.ones((2, 0)), 0.5, error=0.1).tolist() == [1, 1]


def draws(
    rng: np.random.Generator, n: int, answers: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, qualities and instructions: a half of all variance is the instruction's."""
    shared, own = rng.normal(size=(n, 1)), rng.normal(size=(n, answers))
    quality = math.sqrt(0.5) * (shared + own)
    noise = math.sqrt(0.5) * (rng.normal(size=(n, 1)) + rng.normal(size=(n, answers)))
    score = 0.7 * quality + math.sqrt(1 - 0.49) * noise
    return score.ravel(), quality.ravel(), np.repeat(np.arange(n), answers)


@pytest.mark.parametrize("graded", [False, True])
def test_the_promise_holds_in_the_worst_case(graded: bool) -> None:
    """The promised risk is just below the true one of a threshold in the middle."""
    rng = np.random.default_rng(1)
    truth, quality, _ = draws(rng, 200_000, 1)
    loss = np.clip(0.5 - 0.25 * quality, 0, 1) if graded else (quality < -0.5).astype(float)
    order = np.argsort(-truth)
    risk = np.cumsum(loss[order]) / np.arange(1, len(order) + 1)
    alpha = risk[len(order) // 2] - 0.0005
    broken = certified = 0
    for seed in range(500):
        score, quality, group = draws(rng, 300, 5)
        loss = np.clip(0.5 - 0.25 * quality, 0, 1) if graded else (quality < -0.5).astype(float)
        found = certify_over_instructions(
            score, loss, group, max_risk=alpha, confidence=0.9, seed=seed
        )
        if found is not None:
            certified += 1
            broken += risk[(truth >= found).sum() - 1] > alpha
    assert broken / 500 <= 0.1 + 3 * math.sqrt(0.09 / 500)
    assert certified / 500 > 0.3


def test_no_threshold_needs_to_be_better_than_a_stricter_one() -> None:
    """The best-scored answers are bad, as when a judge is fooled: all answers are still tested."""
    rng = np.random.default_rng(0)
    score = rng.random(3000)
    bad = (score > 0.95) | (rng.random(3000) < 0.02)
    found = certify_over_instructions(score, bad, np.repeat(np.arange(600), 5), max_risk=0.15)
    assert found is not None and found < 0.1
    assert certify(score[::5], ~bad[::5], max_risk=0.05) is None


def test_more_answers_accept_more() -> None:
    rng = np.random.default_rng(5)
    accepted = {"all": 0.0, "one": 0.0}
    for _ in range(20):
        score, quality, group = draws(rng, 300, 20)
        bad = quality < -0.5
        every = certify_over_instructions(score, bad, group, max_risk=0.15, confidence=0.9)
        rows = one_of_each(group)
        one = certify(score[rows], ~bad[rows], max_risk=0.15, confidence=0.9)
        accepted["all"] += 0 if every is None else float((score >= every).mean()) / 20
        accepted["one"] += 0 if one is None else float((score >= one.threshold).mean()) / 20
    assert accepted["all"] > accepted["one"] + 0.05 > 0.2


def test_the_order_of_rows_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    score, quality, group = draws(rng, 250, 4)
    columns = np.array([score.round(1), quality < -1, group])
    found = {
        certify_over_instructions(*columns[:, rng.permutation(1000)], max_risk=0.12)
        for _ in range(5)
    }
    assert len(found) == 1 and None not in found


def test_what_cannot_be_certified() -> None:
    score, group = np.arange(40.0), np.repeat(np.arange(20), 2)
    assert certify_over_instructions(score, np.ones(40), group, max_risk=0.1) is None
    assert lowest_risk_over_instructions(score, np.ones(40), group) is None
    assert certify_over_instructions([1], [0], [1], max_risk=0.1) is None
    assert certify_over_instructions([], [], [], max_risk=0.1) is None
    assert risk_over_instructions(score, np.ones(40), group, 99) is None
    lowest = lowest_risk_over_instructions(score, np.zeros(40), group)
    assert lowest is not None and lowest < 0.5
    for wanted, is_found in ((lowest, True), (lowest - 0.001, False)):
        found = certify_over_instructions(score, np.zeros(40), group, max_risk=wanted)
        assert (found is not None) == is_found
    with pytest.raises(ValueError, match=r"losses must lie in \[0, 1\], got 0 to 2"):
        certify_over_instructions([1, 2], [0, 2], [1, 2], max_risk=0.1)
    with pytest.raises(ValueError, match=r"max_risk must lie in \(0, 1\), got 1"):
        certify_over_instructions([1], [0], [1], max_risk=1)


def test_instructions_of_different_sizes_with_some_answers_rated() -> None:
    """Half of the instructions have eight answers, few of them bad, and are nearly always rated.

    The risk, .225, is above what is promised, so each threshold breaks the promise.
    """
    rng, draws, broken = np.random.default_rng(1), 100, np.zeros(4)
    wanted = {"max_risk": 0.2, "confidence": 0.9}
    for draw in range(draws):
        answers = np.where(rng.random(400) < 0.5, 1, 8)
        group = np.repeat(np.arange(400), answers)
        bad = rng.random(len(group)) < np.where(answers[group] == 1, 0.4, 0.05)
        score, rated = rng.random(len(group)), rng.random(len(group)) < 0.3
        group, bad, score = group[rated], bad[rated], score[rated]
        for k, size in enumerate((None, answers[group])):
            one = one_of_each(group, size=size, seed=draw)
            broken[k] += certify(score[one], ~bad[one], **wanted) is not None
            found = certify_over_instructions(score, bad, group, size=size, seed=draw, **wanted)
            broken[k + 2] += found is not None
    counted, weighted = broken.reshape(2, 2).T / draws
    assert (counted > 0.3).all()
    assert (weighted <= 0.1).all()


def test_the_risk_with_some_answers_rated() -> None:
    """Of four answers one is given, of one both: 1/4 (loss 1) and 1 (loss 0) are accepted."""
    found = risk_over_instructions([5, 5], [1, 0], ["a", "b"], 5, size=[4, 1])
    assert found == pytest.approx((1 / 4) / (1 / 4 + 1))
