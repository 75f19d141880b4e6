"""Does the promised risk hold on records that were not seen?"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfj_eval.metrics import certify, fewest_records, lowest_certifiable_risk, one_of_each
from selfj_eval.records.ratings import rescaled
from selfj_eval.records.reading import read_records

SPLITS = 2000


def accepted_risk(score: np.ndarray, good: np.ndarray, threshold: float) -> float:
    return float(1 - good[score >= threshold].mean())


def exceeded(
    score: np.ndarray, good: np.ndarray, n: int, max_risk: float, confidence: float, seed: int
) -> tuple[float, float]:
    """Share of calibration sets of n records whose threshold has too high a risk; and that have
    one at all. The records are the whole population, drawn from with replacement."""
    rng = np.random.default_rng(seed)
    wrong = found = 0
    for _ in range(SPLITS):
        drawn = rng.integers(0, len(score), n)
        result = certify(score[drawn], good[drawn], max_risk=max_risk, confidence=confidence)
        if result is not None:
            found += 1
            wrong += accepted_risk(score, good, result.threshold) > max_risk
    return wrong / SPLITS, found / SPLITS


def allowed(confidence: float) -> float:
    """1 - confidence and three standard errors of the share of SPLITS."""
    return 1 - confidence + 3 * math.sqrt(confidence * (1 - confidence) / SPLITS)


@pytest.mark.parametrize("coarse", [False, True], ids=["continuous", "whole numbers"])
@pytest.mark.parametrize(("quality", "useful"), [(0.4, False), (0.75, True), (0.95, True)])
def test_promise_holds_in_simulation(quality: float, useful: bool, coarse: bool) -> None:
    rng = np.random.default_rng(7)
    truth = rng.normal(size=20_000)
    good = rng.random(20_000) < 1 / (1 + np.exp(-2 * truth - 1))
    score = quality * truth + math.sqrt(1 - quality**2) * rng.normal(size=20_000)
    score = np.clip(4.5 + 2 * score, 0, 9)
    score = score.round() if coarse else score
    wrong, found = exceeded(score, good, 400, 0.2, 0.9, seed=11)
    assert wrong <= allowed(0.9)
    # A promise that is never given would hold too: good scores do get a threshold.
    assert (found > 0.5) == useful


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("levels", [10, 10**9], ids=["ties", "continuous"])
def test_a_judge_that_knows_nothing_at_a_risk_just_above_the_target(n: int, levels: int) -> None:
    """The worst case: whatever is certified breaks the promise."""
    rng = np.random.default_rng(n)
    wrong = 0
    for _ in range(SPLITS):
        score, good = rng.integers(0, levels, n), rng.random(n) >= 0.3 + 1e-9
        wrong += certify(score, good, max_risk=0.3, confidence=0.9) is not None
    assert 0 < wrong / SPLITS <= allowed(0.9)


@pytest.mark.parametrize("name", ["mtbench", "cje_arena", "qlora_vicuna"])
def test_promise_holds_on_real_ratings(data: Path, name: str) -> None:
    """Real ratings by GPT-4 and GPT-5; the score is the length of the answer."""
    records = read_records(data / "judge_bench" / f"pointwise_{name}.parquet")
    good = np.array([rescaled(r.rating, r.rating_min, r.rating_max) >= 6 for r in records])
    score = np.array([len(r.response) for r in records])
    # Between what is found by accident and what is out of reach: thresholds do get certified.
    risk = 1 - good.mean() - 0.02
    wrong, found = exceeded(score, good, len(records) // 2, risk, 0.9, seed=3)
    assert wrong <= allowed(0.9)
    assert found > 0.05


def test_promise_on_random_halves_of_real_ratings(data: Path) -> None:
    """Calibrate on a random half of GPT-4's ratings; the true risk is that of the whole set.

    The other half alone exceeds the target more often: what is seen there has its own chance.
    """
    records = read_records(data / "judge_bench" / "pointwise_mtbench.parquet")
    quality = np.array([rescaled(r.rating, r.rating_min, r.rating_max) for r in records])
    good = quality >= 6
    rng = np.random.default_rng(5)
    score = quality + rng.normal(0, 3, len(quality))  # a judge of some use, made of real ratings
    over, other = 0, []
    for _ in range(SPLITS):
        one, two = np.split(rng.permutation(len(score)), [len(score) // 2])
        result = certify(score[one], good[one], max_risk=0.2, confidence=0.9)
        if result is not None:
            over += accepted_risk(score, good, result.threshold) > 0.2
            other.append(accepted_risk(score[two], good[two], result.threshold))
    assert len(other) > 0.9 * SPLITS
    assert over / SPLITS <= allowed(0.9)
    assert np.mean(other) < 0.2


@pytest.mark.parametrize("name", ["mtbench", "qlora_vicuna"])
def test_one_answer_to_each_instruction_keeps_the_promise(data: Path, name: str) -> None:
    """About 60 instructions with dozens of answers each, drawn whole, as they would be in life."""
    records = read_records(data / "judge_bench" / f"pointwise_{name}.parquet")
    quality = np.array([rescaled(r.rating, r.rating_min, r.rating_max) for r in records])
    good, rng = quality >= 6, np.random.default_rng(0)
    score = quality + rng.normal(0, 3, len(quality))
    _, group = np.unique([r.instruction for r in records], return_inverse=True)
    members = [np.flatnonzero(group == k) for k in range(group.max() + 1)]
    risk = 0.85 * (1 - good.mean())
    broken = {"all": 0, "one": 0}
    for seed in range(SPLITS // 2):
        drawn = [members[k] for k in rng.integers(0, len(members), len(members))]
        rows = np.concatenate(drawn)
        label = np.repeat(np.arange(len(drawn)), [len(d) for d in drawn])
        for which, chosen in (("all", rows), ("one", rows[one_of_each(label, seed=seed)])):
            found = certify(score[chosen], good[chosen], max_risk=risk, confidence=0.9)
            if found is not None:
                broken[which] += accepted_risk(score, good, found.threshold) > risk
    assert broken["one"] / (SPLITS // 2) <= allowed(0.9)
    assert broken["all"] / (SPLITS // 2) > 0.15  # why all of them are not used


def test_one_of_each() -> None:
    group = np.array(["b", "a", "b", "c", "a", "b"])
    draws = [one_of_each(group, seed=seed) for seed in range(60)]
    assert all(group[rows].tolist() == ["a", "b", "c"] for rows in draws)
    assert {int(rows[1]) for rows in draws} == {0, 2, 5}
    assert one_of_each([]).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=60))
def test_certified_threshold_is_an_operating_point(rows: list[tuple[int, bool]]) -> None:
    score, good = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    found = certify(score, good, max_risk=0.4, confidence=0.8)
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    assert certify(score[order], good[order], max_risk=0.4, confidence=0.8) == found
    if found is None:
        return
    assert found.threshold in score
    accepted = score >= found.threshold
    assert found.accepted == accepted.sum()
    assert found.bad == (~good[accepted]).sum()
    # Clopper and Pearson's upper bound at the threshold is below the target.
    from scipy.stats import beta

    bound = (
        beta.ppf(0.8, found.bad + 1, found.accepted - found.bad)
        if found.bad < found.accepted
        else 1
    )
    assert bound <= 0.4 + 1e-9
    wider = certify(score, good, max_risk=0.5, confidence=0.8)
    assert wider is not None
    assert wider.threshold <= found.threshold


def test_fewest_records_and_lowest_risk() -> None:
    n = fewest_records(0.1, 0.95)
    assert certify(np.ones(n), np.ones(n, bool), max_risk=0.1) is not None
    assert certify(np.ones(n - 1), np.ones(n - 1, bool), max_risk=0.1) is None
    score = np.arange(n * 16)
    good = score >= n * 14
    risk = lowest_certifiable_risk(score, good)
    assert risk is not None
    assert certify(score, good, max_risk=risk) is not None
    assert certify(score, good, max_risk=risk - 0.001) is None
    assert lowest_certifiable_risk([1.0, 2.0], [False, False]) is None
    assert certify([], [], max_risk=0.1) is None
    with pytest.raises(ValueError, match=r"max_risk must lie in \(0, 1\), got 1"):
        certify([1], [True], max_risk=1)
