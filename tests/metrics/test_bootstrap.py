"""Intervals: oracle values, coverage in simulation, groups, differences, no interval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from selfj_eval import metrics
from selfj_eval.metrics import Headline
from selfj_eval.metrics.bootstrap import evaluations
from selfj_eval.metrics.resampled import RESAMPLED, ResampledHeadline


def judged(n: int, seed: int = 0, noise: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rating = rng.integers(1, 11, n).astype(float)
    score = np.clip(rating * 0.8 + rng.normal(0, noise, n), 0, 9)
    return score, rating, rating >= 7


def test_bca_equals_the_oracle(data: Path) -> None:
    oracles = json.loads((data.parent / "oracles" / "metrics.json").read_text())
    score, gold = (np.array(oracles["data"][name], float) for name in ("score", "gold"))

    def correlations(drawn: np.ndarray) -> np.ndarray:
        functions = (metrics.pearson, metrics.spearman, metrics.kendall_tau_b)
        return np.array([f(score[drawn], gold[drawn]).value for f in functions], dtype=float)

    found = metrics.bootstrap(correlations, len(score), resamples=9999)
    names = ("pearson_bca95_9999_seed0", "spearman_bca95", "tau_b_bca95")
    for interval, name in zip(found.intervals, names, strict=True):
        assert interval is not None
        assert interval.method == "bca"
        # Resamples that are the data in another order tie with the value but for rounding, and
        # where they are counted moves the ends by this much.
        assert interval[:2] == pytest.approx(oracles["correlation"][name], rel=1e-3)


def test_intervals_do_not_depend_on_the_order_of_the_records() -> None:
    score, rating, good = judged(60)
    score, group = score.round(), np.arange(60) % 20
    order = np.random.default_rng(1).permutation(60)
    for groups in (None, group):
        one = metrics.headline_intervals(score, rating, good, group=groups, resamples=50)
        two = metrics.headline_intervals(
            score[order],
            rating[order],
            good[order],
            group=None if groups is None else groups[order],
            resamples=50,
        )
        for a, b in zip(one[:-1], two[:-1], strict=True):
            assert a.interval is not None
            assert a.interval[:2] == pytest.approx(b.interval[:2], abs=1e-9)


def test_intervals_cover_the_truth() -> None:
    """95 % intervals of 80 samples hold the population's value about 76 times."""
    score, rating, good = judged(20_000, seed=3)
    truth = metrics.headline(score, rating, good)
    rng = np.random.default_rng(4)
    hits = np.zeros(len(truth) - 1)
    for seed in range(80):
        drawn = rng.integers(0, len(score), 50)
        found = metrics.headline_intervals(
            score[drawn], rating[drawn], good[drawn], resamples=100, seed=seed
        )
        for k, (m, t) in enumerate(zip(found[:-1], truth[:-1], strict=True)):
            assert m.interval is not None
            hits[k] += m.interval.low <= t.value <= m.interval.high
        assert found.ece.interval is None  # resampling raises it: no interval would be honest
    assert (hits >= 70).all(), hits


def test_answers_to_one_instruction_are_drawn_together() -> None:
    score, rating, good = judged(40)
    copies = 10
    repeated = [np.repeat(x, copies) for x in (score, rating, good)]
    group = np.repeat(np.arange(40), copies)
    alone = metrics.headline_intervals(score, rating, good, resamples=400).spearman
    together = metrics.headline_intervals(*repeated, group=group, resamples=400).spearman
    naive = metrics.headline_intervals(*repeated, resamples=400).spearman
    width = [m.interval.high - m.interval.low for m in (alone, together, naive) if m.interval]
    # Copies of the same answers hold no more information; only the grouping knows that.
    assert width[1] == pytest.approx(width[0], rel=0.35)
    assert width[2] < 0.5 * width[0]


def test_differences_are_paired() -> None:
    score, rating, good = judged(300, noise=3)
    rng = np.random.default_rng(9)
    close = np.clip(score + rng.normal(0, 0.2, 300), 0, 9)
    found = metrics.headline_differences(score, close, rating, good, resamples=300)
    first, second = (metrics.headline(x, rating, good)._asdict() for x in (score, close))
    assert set(found) == set(Headline._fields)
    for name, d in found.items():
        assert d.first.value == pytest.approx(first[name].value)
        assert d.second.value == pytest.approx(second[name].value)
        assert d.difference.value == pytest.approx(d.first.value - d.second.value, abs=1e-12)
        assert (d.difference.interval is None) == (d.first_higher is None) == (name == "ece")
    rho = found["spearman"]
    width = rho.difference.interval.high - rho.difference.interval.low
    assert width < 0.3 * (rho.first.interval.high - rho.first.interval.low)
    same = metrics.headline_differences(score, score, rating, good, resamples=50)["pearson"]
    assert same.difference.value == 0
    assert same.difference.interval is None
    assert same.first_higher == 0.5
    worse = rng.permutation(score)
    sure = metrics.headline_differences(score, worse, rating, good, resamples=100)
    assert sure["pearson"].first_higher == 1
    assert sure["augrc"].first_higher == 0  # lower is better


def test_no_interval_where_there_is_none() -> None:
    one = metrics.headline_intervals([3.0], [5.0], [True], resamples=10)
    assert one.pearson.undefined == "only 1 scored record; at least 2 are needed"
    assert all(m.interval is None for m in one)
    none = metrics.headline_intervals([], [], [], resamples=10)
    assert all(m.value is None for m in none)
    score, rating, good = judged(30)
    constant = metrics.headline_intervals(score, np.full(30, 4.0), np.ones(30), resamples=30)
    assert constant.spearman.undefined == "all 30 ratings are equal (4)"
    assert constant.auroc.undefined == "all 30 answers are good"
    assert constant.augrc.value == 0
    perfect = metrics.headline_intervals(rating[:9], rating[:9], good[:9], resamples=50)
    assert perfect.auroc.value == pytest.approx(perfect.pearson.value) == 1
    assert perfect.auroc.interval is perfect.pearson.interval is None  # not "1.000 to 1.000"
    rare = np.zeros(30, dtype=bool)
    rare[0] = True  # missing from a third of the resamples
    found = metrics.headline_intervals(score, rating, rare, resamples=100)
    assert found.auroc.value is not None
    assert found.auroc.interval is None
    one_group = metrics.headline_intervals(score, rating, good, group=np.zeros(30), resamples=30)
    assert one_group.pearson.interval is None
    for wrong in ({"confidence": 1.0}, {"resamples": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            metrics.headline_intervals(score, rating, good, **wrong)


def test_progress_counts_every_evaluation() -> None:
    score, rating, good = judged(1100)
    for n in (50, 1100):  # with and without leaving every record out
        steps: list[int] = []
        metrics.headline_intervals(
            score[:n], rating[:n], good[:n], resamples=20, progress=steps.append
        )
        assert sum(steps) == evaluations(n, None, 20) == (70 if n == 50 else 20)


@pytest.mark.parametrize("ratings", [1, 3, 10, 400], ids=lambda k: f"{k} ratings")
@pytest.mark.parametrize("scores", [1, 7, 400], ids=lambda k: f"{k} scores")
def test_a_resample_has_the_metrics_of_the_records_drawn(scores: int, ratings: int) -> None:
    """Counted in an order made once, or repeated and sorted: the same, ties and all."""
    rng = np.random.default_rng(scores + ratings)
    n = 400
    rating = rng.integers(0, ratings, n).astype(float)
    score = np.round((rating / ratings + rng.random(n)) * scores)
    for good in (rating > ratings / 2, rng.random(n) < 0.3):
        prepared = ResampledHeadline(score, rating, good.astype(float))
        for drawn in (np.arange(n), *rng.integers(0, n, (5, n)), [0, 1, 1], [3]):
            found = prepared.values(np.bincount(drawn, minlength=n))
            truth = metrics.headline(score[drawn], rating[drawn], good[drawn])._asdict()
            expected = [truth[name].value for name in RESAMPLED]
            assert found == pytest.approx(np.array(expected, float), abs=1e-12, nan_ok=True)
