"""The band of the risk-coverage curve: the same numbers by another way, and its coverage."""

from __future__ import annotations

import numpy as np
import pytest

from selfj_eval import metrics
from selfj_eval.metrics.risk_band import STRICTEST


def risks(score: np.ndarray, loss: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Risks answer by answer, those of equal scores with their mean loss."""
    order = np.argsort(-score, kind="stable")
    spread = np.array([loss[score == score[k]].mean() for k in order])
    lost = np.append(0, np.cumsum(spread))
    wanted = coverage * len(score)
    return np.interp(wanted, np.arange(len(score) + 1), lost) / wanted


@pytest.mark.parametrize("levels", [4, 1000])
def test_the_band_is_that_of_resampled_records(levels: int) -> None:
    rng = np.random.default_rng(5)
    score = rng.integers(0, levels, 90) / levels
    loss = (rng.random(90) > score).astype(float)
    group = np.arange(90) // 3
    band = metrics.risk_band(score, loss, group=group, resamples=200, seed=3)
    coverage = np.array(band.coverage)
    first = max(STRICTEST, (score == score.max()).mean())
    assert coverage[0] == pytest.approx(first) and coverage[-1] == 1
    slow = metrics.bootstrap(
        lambda at: risks(score[at], loss[at], coverage), 90, group=group, resamples=200, seed=3
    )
    for k, interval in enumerate(slow.intervals):
        expected = (None, None) if interval is None else (interval.low, interval.high)
        assert (band.low[k], band.high[k]) == pytest.approx(expected)
    assert band.low[-1] is not None and band.high[-1] is not None
    assert band.low[-1] < loss.mean() < band.high[-1]


def test_the_interval_covers_the_true_risk() -> None:
    """Scores are uniform and an answer is bad with probability 1 - score: of the best half, 1/4."""
    covered = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        score = rng.random(150)
        loss = rng.random(150) > score
        band = metrics.risk_band(score, loss, resamples=200, confidence=0.9, seed=seed)
        k = int(np.abs(np.array(band.coverage) - 0.5).argmin())
        truth = band.coverage[k] / 2  # the mean of 1 - score over the best share
        covered += (band.low[k] or 0) <= truth <= (band.high[k] or 0)
    assert 0.82 <= covered / 120 <= 0.97


def test_little_and_none() -> None:
    assert metrics.risk_band([], []).coverage == []
    good = metrics.risk_band([1.0, 2.0, 3.0], [0, 0, 0], resamples=20)
    assert set(good.low) == set(good.high) == {None}
