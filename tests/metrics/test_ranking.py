from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfj_eval.metrics import Metric, kendall_tau_b, pearson, spearman
from selfj_eval.metrics.ranking import (
    agreement,
    bradley_terry,
    rank_biased_overlap,
    ranking_agreement,
    separability,
)

rankings = st.lists(st.sampled_from("abcdefghijkl"), min_size=1, unique=True)
persistence = st.floats(0.01, 0.99)


@st.composite
def tournaments(draw: st.DrawFn) -> np.ndarray:
    """Wins whose likelihood has a maximum: a cycle of wins, and others between any players."""
    k = draw(st.integers(2, 6))
    count = st.sampled_from([0, 0, 0.5, 1, 3, 40])
    wins = np.array(draw(st.lists(count, min_size=k * k, max_size=k * k))).reshape(k, k)
    np.fill_diagonal(wins, 0)
    wins[np.arange(k), (np.arange(k) + 1) % k] += 1
    return wins


@pytest.fixture(scope="module")
def oracle(data: Path) -> dict[str, Any]:
    return json.loads((data.parent / "oracles" / "metrics.json").read_text())["ranking"]


def test_oracle_of_two_rankings(oracle: dict[str, Any]) -> None:
    s, t = oracle["S"], oracle["T"]
    assert len(oracle["rbo_ext"]) == 3
    for p, wanted in oracle["rbo_ext"].items():
        # A higher mean for a better place; the names are given in another order than the ranks.
        names = sorted(s, reverse=True)
        result = ranking_agreement(
            [-s.index(name) for name in names], [-t.index(name) for name in names], names, float(p)
        )
        assert rank_biased_overlap(s, t, float(p)) == pytest.approx(wanted, rel=1e-12)
        assert result.rbo == Metric(pytest.approx(wanted, rel=1e-12), 8)
        assert result.spearman.value == pytest.approx(oracle["spearman"], rel=1e-12)
        assert result.kendall_tau_b.value == pytest.approx(oracle["tau"], rel=1e-12)


def test_oracle_of_bradley_terry(oracle: dict[str, Any]) -> None:
    wins = np.zeros((4, 4))
    for (winner, loser), count in oracle["bradley_terry"]["wins"].items():
        wins["ABCD".index(winner), "ABCD".index(loser)] = count
    theta = bradley_terry(wins)
    assert theta == pytest.approx(oracle["bradley_terry"]["theta_mean0"], abs=1e-6)
    assert np.exp(theta) == pytest.approx(oracle["bradley_terry"]["pi_geomean1"], abs=1e-6)


def test_oracle_of_intervals(oracle: dict[str, Any]) -> None:
    toy = oracle["arena_hard_toy"]
    a, b = np.transpose(toy["ci_a"]), np.transpose(toy["ci_b"])
    assert separability(*a) == pytest.approx(toy["separability_a"])
    assert separability(*b) == pytest.approx(toy["separability_b"])
    assert agreement(*a, *b) == pytest.approx(toy["agreement_all_pairs"])


@pytest.mark.parametrize(
    ("oracle_name", "column"),
    [("win_rate", "win_rate"), ("length_controlled", "length_controlled_winrate")],
)
def test_alpaca_eval_leaderboards(
    data: Path, oracle: dict[str, Any], oracle_name: str, column: str
) -> None:
    """V1's win rate with V2's win rate, plain and length-controlled."""
    wanted = oracle["alpaca_eval_cd543a1_v1_gpt4_vs_v2"]
    v1, v2 = (
        {row[""]: row for row in csv.DictReader(path.read_text().splitlines())}
        for path in (
            data / "alpaca_eval/leaderboards/v1_alpaca_eval_gpt4_leaderboard.csv",
            data / "alpaca_eval/leaderboards/v2_weighted_alpaca_eval_gpt4_turbo_leaderboard.csv",
        )
    )
    names = sorted(v1.keys() & v2.keys())
    old = [float(v1[name]["win_rate"]) for name in names]
    new = [float(v2[name][column]) for name in names]
    functions = {"spearman": spearman, "tau_b": kendall_tau_b, "pearson": pearson}
    for name, value in wanted[oracle_name].items():
        result = functions[name](old, new)
        assert result.n == wanted["n"]
        assert result.value == pytest.approx(value, rel=1e-12)
    ranked = ranking_agreement(old, new, names)
    assert ranked.spearman.value == pytest.approx(wanted[oracle_name]["spearman"], rel=1e-12)
    assert ranked.kendall_tau_b.value == pytest.approx(wanted[oracle_name]["tau_b"], rel=1e-12)


@given(first=rankings, second=rankings, p=persistence)
def test_rank_biased_overlap(first: list[str], second: list[str], p: float) -> None:
    value = rank_biased_overlap(first, second, p)
    assert 0 <= value <= 1
    assert value == rank_biased_overlap(second, first, p)
    assert rank_biased_overlap(first, first, p) == pytest.approx(1, abs=1e-12)
    assert rank_biased_overlap(first, [item.upper() for item in second], p) == 0
    # Equation 32 as it is printed, sum by sum.
    short, long = sorted((first, second), key=len)
    s, n = len(short), len(long)
    x = [len(set(short[:d]) & set(long[:d])) for d in range(n + 1)]
    sums = sum(x[d] / d * p**d for d in range(1, n + 1))
    sums += sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    printed = (1 - p) / p * sums + ((x[n] - x[s]) / n + x[s] / s) * p**n
    assert value == pytest.approx(printed, abs=1e-12)


def test_rounding_does_not_lift_the_overlap_above_1() -> None:
    assert (
        max(
            rank_biased_overlap("abcdefghijklm"[:n], "abcdefghijklm"[:n], 0.8) for n in range(1, 14)
        )
        == 1
    )


def test_the_beginning_of_a_ranking_is_taken_to_go_on() -> None:
    assert rank_biased_overlap("abc", "abcdefgh", 0.9) == pytest.approx(1)


@given(wins=tournaments(), seed=st.integers(0, 99))
def test_bradley_terry(wins: np.ndarray, seed: int) -> None:
    theta = bradley_terry(wins)
    assert theta.mean() == pytest.approx(0, abs=1e-12)
    order = np.random.default_rng(seed).permutation(len(wins))
    assert bradley_terry(wins[np.ix_(order, order)]) == pytest.approx(theta[order], abs=1e-9)
    assert bradley_terry(wins.T) == pytest.approx(-theta, abs=1e-9)
    # At the maximum each player's expected wins are the observed ones.
    chance = 1 / (1 + np.exp(theta[None, :] - theta[:, None]))
    expected = ((wins + wins.T) * chance).sum(axis=1)
    assert expected == pytest.approx(wins.sum(axis=1), rel=1e-9)


def test_bradley_terry_of_two_players_is_the_log_odds() -> None:
    assert bradley_terry([[0, 30], [10, 0]]) == pytest.approx([math.log(3) / 2, -math.log(3) / 2])
    million = bradley_terry([[0, 1e6], [0.5, 0]])  # half a win: one tie
    assert million[0] - million[1] == pytest.approx(math.log(2e6), rel=1e-12)
    assert bradley_terry([[0]]).tolist() == [0]


def test_bradley_terry_far_from_equal_strengths() -> None:
    wins = np.diag(np.full(299, 1000.0), 1) + np.diag(np.ones(299), -1)
    assert np.diff(bradley_terry(wins)) == pytest.approx(np.full(299, -math.log(1000)), rel=1e-9)
    once = bradley_terry([[0, 1e15], [1, 0]])
    assert once[0] - once[1] == pytest.approx(math.log(1e15), rel=1e-12)


def test_bradley_terry_where_whole_newton_steps_do_not_converge() -> None:
    wins = np.zeros((5, 5))
    wins[0, [1, 4]] = 1, 10
    wins[1, 2] = 1
    wins[2, [0, 3, 4]] = 1614, 1, 40086
    wins[3, [1, 2, 4]] = 40606, 3423576, 415459
    wins[4, :4] = 1, 4, 298, 1
    theta = bradley_terry(wins)
    won = wins / (1 + np.exp(theta[:, None] - theta[None, :]))  # wins weighted by surprise
    assert won.sum(axis=0) == pytest.approx(won.sum(axis=1), rel=1e-9)
    assert theta.mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("wins", "players"),
    [
        ([[0, 2, 0], [1, 0, 0], [3, 3, 0]], "2"),  # the last one never loses
        ([[0, 1, 0], [1, 0, 0], [0, 0, 0]], "2"),  # or never plays
        # The first six only win against the other eight.
        (1 - np.eye(14) - np.outer(np.arange(14) >= 6, np.arange(14) < 6), "0, 1, 2, 3, 4, ..."),
    ],
)
def test_no_maximum_is_an_error(wins: Any, players: str) -> None:
    with pytest.raises(ValueError, match="no finite Bradley-Terry strengths") as error:
        bradley_terry(wins)
    named = str(error.value).split("to players ")[1]
    assert named.startswith(f"{players}; add comparisons, leave these players out")
    mended = np.asarray(wins) + 0.5 * (1 - np.eye(len(wins)))
    assert np.isfinite(bradley_terry(mended)).all()


intervals = st.lists(
    st.tuples(*[st.integers(0, 20), st.integers(0, 4)] * 2), min_size=2, max_size=12
)


@given(intervals)
def test_separability_and_agreement(rows: list[tuple[int, int, int, int]]) -> None:
    low_a, width_a, low_b, width_b = np.array(rows).T
    a, b = (low_a, low_a + width_a), (low_b, low_b + width_b)
    separated = separability(*a)
    shared = sum(
        set(range(low_a[i], a[1][i] + 1)).isdisjoint(range(low_a[j], a[1][j] + 1))
        for i in range(len(rows))
        for j in range(i)
    )
    assert separated == pytest.approx(shared / math.comb(len(rows), 2))
    value = agreement(*a, *b)
    assert abs(value) <= min(separated, separability(*b)) + 1e-12
    assert agreement(*b, *a) == value
    assert agreement(*a, *a) == separated
    assert agreement(*a, -a[1], -a[0]) == -separated  # upside down: all orders are opposite
    assert agreement(*a, -b[1], -b[0]) == -value


def test_intervals_that_touch_overlap() -> None:
    assert separability([0, 1], [1, 2]) == 0
    assert separability([0, 1.001], [1, 2]) == 1


def test_ties_are_ordered_by_name() -> None:
    result = ranking_agreement([2, 2, 1], [3, 2, 1], ["b", "a", "c"])
    assert result.rbo.value == pytest.approx(rank_biased_overlap("abc", "bac"))
    assert result.spearman == spearman([2, 2, 1], [3, 2, 1])
    assert result.kendall_tau_b == kendall_tau_b([2, 2, 1], [3, 2, 1])


def test_rankings_without_a_value_have_a_reason() -> None:
    none, one = ranking_agreement([], [], []), ranking_agreement([1], [2], ["a"])
    assert none == (Metric(None, 0, "systems to rank: 0; at least 2 are needed"),) * 3
    assert one == (Metric(None, 1, "systems to rank: 1; at least 2 are needed"),) * 3
    constant = ranking_agreement([1, 2], [5, 5], ["a", "b"])
    assert constant == (Metric(None, 2, "all 2 mean ratings are equal (5)"),) * 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rank_biased_overlap("ab", "ba", 0), "between 0 and 1, both excluded, not 0"),
        (lambda: rank_biased_overlap("ab", "ba", 1), "both excluded, not 1"),
        (lambda: rank_biased_overlap("ab", "ba", math.nan), "both excluded, not nan"),
        (lambda: rank_biased_overlap("abcb", "ba"), "'b' is in a ranking twice"),
        (lambda: rank_biased_overlap("ab", []), "an empty ranking"),
        (lambda: bradley_terry(np.ones((2, 3))), r"k at least 1, got \(2, 3\)"),
        (lambda: bradley_terry(np.ones((0, 0))), r"k at least 1, got \(0, 0\)"),
        (lambda: bradley_terry([[0, -1], [1, 0]]), "finite and at least 0"),
        (lambda: bradley_terry([[0, math.nan], [1, 0]]), "finite and at least 0"),
        (lambda: bradley_terry([[1, 1], [1, 0]]), "0 on the diagonal"),
        (lambda: bradley_terry([[0, 1e300], [1e-300, 0]]), "no convergence"),
        (lambda: separability([1], [2]), "give at least 2"),
        (lambda: separability([1, 2], [2, 1]), "are they swapped"),
        (lambda: agreement([1, 2], [1, 2], [1, 2, 3], [1, 2, 3]), "for the same models"),
        (lambda: ranking_agreement([1, 2], [1, 2], ["a"]), "1 names for 2 systems"),
        (lambda: ranking_agreement([1, 2], [1, 2], ["a", "a"]), "'a' is in a ranking twice"),
    ],
)
def test_senseless_arguments_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
