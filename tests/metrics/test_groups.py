"""Intervals where records come in groups: correlations, means, and means of correlations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from selfj_eval.metrics import (
    Metric,
    headline_intervals,
    influence,
    kendall_tau_b,
    mean,
    mean_within,
    partial_correlation,
    pearson,
    spearman,
)

CORRELATIONS: dict[str, Callable[..., Metric]] = {
    "pearson": pearson,
    "spearman": spearman,
    "kendall_tau_b": kendall_tau_b,
    "partial_correlation": partial_correlation,
}


def columns(n: int, seed: int = 0) -> list[np.ndarray]:
    """Scores, ratings with ties, and lengths that go with both."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    rating = np.clip(np.round(3 + 1.2 * truth + rng.normal(0, 0.5, n)), 1, 5)
    return [
        truth + rng.normal(0, 0.8, n),
        rating,
        np.round(10 * (truth + rng.normal(0, 2, n))),
    ]


def given(name: str, data: list[np.ndarray]) -> list[np.ndarray]:
    return data if name == "partial_correlation" else data[:2]


def error(found: Metric, units: int) -> float:
    """The standard error on Fisher's scale that an interval was made of."""
    assert found.interval is not None and found.value is not None
    half = math.atanh(found.interval.high) - math.atanh(found.value)
    return half / float(t.ppf(0.975, units - 1))


def numbers(found: Metric) -> list[float | None]:
    return [found.value, found.low, found.high]


def close(found: Metric) -> list[Any]:
    """Value and interval, to be compared."""
    return [pytest.approx(x, abs=1e-9) for x in numbers(found)]


@pytest.mark.parametrize("name", CORRELATIONS)
def test_what_a_record_adds_is_how_far_one_more_copy_moves_it(name: str) -> None:
    data = given(name, columns(40))
    parts = getattr(influence, f"of_{name}")(*data)
    assert parts.sum() == pytest.approx(0, abs=1e-12)
    copies = 200
    many = [np.repeat(x, copies) for x in data]
    value = CORRELATIONS[name](*many).value
    assert value is not None
    for k in (0, 7, 23):
        more = CORRELATIONS[name](*(np.append(x, y[k]) for x, y in zip(many, data, strict=True)))
        assert more.value is not None
        assert (more.value - value) * copies == pytest.approx(parts[k], abs=2e-4)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_copies_of_answers_to_an_instruction_say_nothing_new(name: str) -> None:
    function, data = CORRELATIONS[name], given(name, columns(60))
    errors, alone = [], []
    for copies in (2, 5):
        many = [np.repeat(x, copies) for x in data]
        group = np.repeat([f"q{k}" for k in range(60)], copies)
        found = function(*many, group=group)
        assert found.value == pytest.approx(function(*data).value)
        assert found.interval is not None and found.interval.method == "t, clustered"
        errors.append(error(found, 60))
        alone.append(error(function(*many), 60))
        order = np.random.default_rng(copies).permutation(len(group))
        again = function(*(x[order] for x in many), group=group[order])
        assert numbers(again) == close(found)
    assert errors[0] == pytest.approx(errors[1])
    assert alone[1] < 0.5 * errors[1]


@pytest.mark.parametrize("name", CORRELATIONS)
def test_without_groups_of_several_the_intervals_are_the_known_ones(name: str) -> None:
    function, data = CORRELATIONS[name], given(name, columns(50))
    assert function(*data, group=np.arange(50)) == function(*data)
    assert function(*data, group=["one"] * 50).interval is None
    same = [np.tile(x, 2) for x in (data[1], data[1])]
    if name != "partial_correlation":
        assert function(*same, group=np.arange(100) % 50).interval is None  # exactly 1
    again = [np.tile(x, 2) for x in data]
    assert function(*again, group=np.arange(100) // 50).interval is None  # groups do not vary


def answers(rng: np.random.Generator, instructions: int, each: int) -> list[np.ndarray]:
    """Ratings and scores with errors that the answers to an instruction share."""
    group = np.repeat(np.arange(instructions), each)

    def noise(shared: float, own: float) -> np.ndarray:
        found = shared * rng.normal(size=instructions)[group]
        return found + own * rng.normal(size=len(group))

    truth = noise(0.7, 0.7)
    return [truth + noise(0.6, 0.8), np.clip(np.round(3 + truth + noise(0.4, 0.4)), 1, 5), group]


@pytest.mark.parametrize("name", ["pearson", "spearman", "kendall_tau_b"])
def test_the_intervals_cover_where_those_of_independent_records_do_not(name: str) -> None:
    function = CORRELATIONS[name]
    score, rating, _ = answers(np.random.default_rng(1), 20_000, 8)
    truth = function(score, rating).value
    rng = np.random.default_rng(2)
    covered = {"clustered": 0, "independent": 0}
    for _ in range(300):
        score, rating, group = answers(rng, 20, 8)
        for kind, found in (
            ("clustered", function(score, rating, group=group)),
            ("independent", function(score, rating)),
        ):
            assert found.low is not None and found.high is not None and truth is not None
            covered[kind] += found.low <= truth <= found.high
    assert 0.90 <= covered["clustered"] / 300 <= 0.98
    assert covered["independent"] / 300 <= 0.87


def test_mean_of_groups(inference: dict[str, Any]) -> None:
    main = inference["data"]["main"]
    wanted = inference["e_comparisons"]["clustered_se_of_mean_rating"]
    found = mean(main["rating"], group=main["instruction"])
    assert found.low is not None and found.high is not None
    half = (found.high - found.low) / 2
    assert half / t.ppf(0.975, 23) == pytest.approx(wanted["with_g_over_g_minus_1"], rel=1e-6)
    assert found.value == pytest.approx(np.mean(main["rating"]))
    alone = mean(main["rating"])
    assert alone.low is not None and alone.high is not None
    half = (alone.high - alone.low) / 2
    assert half / t.ppf(0.975, 119) == pytest.approx(wanted["naive"], rel=1e-6)
    assert mean([1, 2, 3], group=["a", "b", "c"]) == mean([1, 2, 3])
    assert mean([1, 2, 3], group=["a"] * 3) == mean([4, 0, 2, 2, 2], group=["a"] * 5)._replace(n=3)
    assert mean([2, 2]).interval is None
    assert mean([]).undefined == "no records"
    with pytest.raises(ValueError, match="values: expected finite numbers"):
        mean([1, math.nan])


@pytest.mark.parametrize("name", ["pearson", "spearman", "kendall_tau_b"])
def test_mean_of_correlations_over_parts(name: Any) -> None:
    score, rating, group = answers(np.random.default_rng(5), 40, 6)
    part = np.tile(["a", "b", "c"], 80)
    function = CORRELATIONS[name]
    own = [function(score[part == p], rating[part == p]).value for p in "abc"]
    found = mean_within(name, score, rating, part, group=group)
    assert found.value == pytest.approx(np.mean(np.array(own, dtype=float)))
    assert found.n == 3
    # Left out one instruction at a time, another estimate of the same error.
    left = []
    for k in range(40):
        kept = group != k
        left.append(mean_within(name, score[kept], rating[kept], part[kept]).value)
    spread = math.sqrt(39 / 40 * float(((np.array(left) - np.mean(left)) ** 2).sum()))
    assert error(found, 40) * (1 - found.value**2) == pytest.approx(spread, rel=0.1)
    # One part is the correlation itself; parts without it do not count.
    one = mean_within(name, score, rating, ["a"] * 240, group=group)
    assert numbers(one) == close(function(score, rating, group=group))
    more = [[*score, 1, 1], [*rating, 1, 2], [*part, "d", "d"]]
    assert numbers(mean_within(name, *more, group=[*group, 98, 99])) == close(found)
    assert mean_within(name, [1, 1], [1, 2], ["a", "a"]).undefined == (
        "no group has this correlation"
    )


def test_parts_of_two_records_are_not_certain() -> None:
    """Their correlation is 1 or -1, which would look as if it were known without error."""
    rng = np.random.default_rng(5)
    score, rating = rng.normal(size=140), rng.normal(size=140)
    part = np.r_[np.zeros(100, dtype=int), np.repeat(np.arange(1, 21), 2)]
    found = mean_within("spearman", score, rating, part)
    assert found.n == 21
    assert found.interval is None
    assert mean_within("spearman", score[:100], rating[:100], part[:100]).interval is not None


def test_few_groups_do_not_make_an_interval_narrower() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        a = rng.normal(size=6)
        b = a + rng.normal(size=6)
        clustered = pearson(a, b, group=[0, 0, 1, 2, 3, 4]).interval
        alone = pearson(a, b).interval
        assert clustered is not None
        assert alone is not None
        assert clustered.high - clustered.low >= alone.high - alone.low - 1e-12


def test_they_are_near_the_bootstrap_over_the_same_groups() -> None:
    score, rating, group = answers(np.random.default_rng(7), 150, 5)
    drawn = headline_intervals(score, rating, rating >= 4, group=group, resamples=1000)
    for name in ("pearson", "spearman", "kendall_tau_b"):
        one, two = getattr(drawn, name), CORRELATIONS[name](score, rating, group=group)
        width = two.high - two.low
        assert one.low == pytest.approx(two.low, abs=0.12 * width)
        assert one.high == pytest.approx(two.high, abs=0.12 * width)
