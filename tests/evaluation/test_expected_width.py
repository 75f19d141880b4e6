"""The width of the interval that a plan promises, and how many ratings it takes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from selfj_eval.evaluation.planning import Units, expected_width, ratings_for
from selfj_eval.judging.scored import Scored
from selfj_eval.metrics.prediction_powered import powered_mean
from selfj_eval.metrics.sampling import choose


def units_of(score: Any, rating: Any, group: Any) -> Units:
    answers = [Scored(str(k)) for k in range(len(score))]
    return Units([(a,) for a in answers], score, rating, group)


def test_the_expected_width_is_that_of_the_estimates() -> None:
    """Ten answers to an instruction are alike, which also counts for the scores of all answers."""
    random = np.random.default_rng(0)
    actual, expected = [], []
    for _ in range(40):
        group = np.repeat(np.arange(100), 10)
        truth = random.normal(0, 0.6, 100)[group] + random.normal(0, 1, 1000)
        scores = truth + random.normal(0, 0.3, 1000)
        chosen = random.choice(100, 60, replace=False) * 10
        rating = np.full(1000, np.nan)
        rating[chosen] = truth[chosen]
        found = powered_mean(rating, scores, group=group).interval
        assert found is not None
        actual.append(found.high - found.low)
        r = float(np.corrcoef(truth[chosen], scores[chosen])[0, 1])
        deviation = float(truth[chosen].std(ddof=1))
        expected.append(expected_width(60, units_of(scores, rating, group), deviation, r, 0.95))
    assert np.mean(expected) == pytest.approx(np.mean(actual), rel=0.12)


@pytest.mark.parametrize("ratings", [60, 300])
def test_the_expected_width_with_few_instructions_of_different_sizes(ratings: int) -> None:
    """30 instructions with 2 or 40 answers: fewer of them than ratings, and large ones count."""
    random = np.random.default_rng(1)
    actual, expected = [], []
    for seed in range(40):
        group = np.repeat(np.arange(30), np.tile([2, 40], 15))
        alike, alone = np.sqrt(0.3), np.sqrt(0.7)
        truth, noise = (
            alike * random.normal(size=30)[group] + alone * random.normal(size=len(group))
            for _ in range(2)
        )
        scores = truth + noise
        rating = np.full(len(group), np.nan)
        chosen = choose(ratings, size=np.ones(len(group)), group=group, seed=seed).chosen
        rating[chosen] = truth[chosen]
        found = powered_mean(rating, scores, group=group).interval
        assert found is not None
        actual.append(found.high - found.low)
        r, deviation = float(np.corrcoef(truth, scores)[0, 1]), float(truth.std())
        units = units_of(scores, rating, group)
        expected.append(expected_width(ratings, units, deviation, r, 0.95))
    assert np.mean(expected) == pytest.approx(np.mean(actual), rel=0.07)


def test_a_pilot_says_how_alike_the_ratings_of_an_instruction_are() -> None:
    """The scores, which differ within instructions alone, cannot know it."""
    random = np.random.default_rng(2)
    actual, alone, piloted = [], [], []
    for seed in range(20):
        group = np.repeat(np.arange(60), 20)
        truth = random.normal(size=60)[group] + random.normal(size=1200)
        scores = random.normal(size=1200)
        given = []
        for ratings in (300, 120):
            chosen = choose(ratings, size=np.ones(1200), group=group, seed=seed).chosen
            rating = np.full(1200, np.nan)
            rating[chosen] = truth[chosen]
            given.append(rating)
        found = powered_mean(given[0], scores, group=group).interval
        assert found is not None
        actual.append(found.high - found.low)
        for pilot, where in ((np.full(1200, np.nan), alone), (given[1], piloted)):
            units = units_of(scores, pilot, group)
            where.append(expected_width(300, units, float(truth.std()), 0.0, 0.95))
    assert np.mean(alone) < 0.7 * np.mean(actual)
    assert np.mean(piloted) == pytest.approx(np.mean(actual), rel=0.15)


def test_the_number_of_ratings_is_the_smallest_and_found_quickly() -> None:
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(10), 20)
    scores = random.normal(0, 2, 10)[group] + random.normal(0, 1, 200)
    small = units_of(scores, np.full(200, np.nan), group)
    widths = [expected_width(n, small, 2.0, 0.9, 0.95) for n in range(10, 201)]
    assert (np.diff(widths) < 0).all()
    for wanted in (widths[0] + 1, widths[0], widths[57], widths[57] + 1e-9, widths[-1]):
        assert ratings_for(wanted, small, 2.0, 0.9, 0.95) == 10 + next(
            k for k, width in enumerate(widths) if width <= wanted
        )
    assert ratings_for(widths[-1] - 1e-9, small, 2.0, 0.9, 0.95) is None

    many = units_of(random.normal(0, 1, 100_000), np.full(100_000, np.nan), np.arange(100_000) // 3)
    start = time.process_time()
    needed = ratings_for(0.04, many, 2.25, 0.0, 0.95)
    assert time.process_time() - start < 2
    assert needed is not None
    assert 30_000 < needed < 100_000
