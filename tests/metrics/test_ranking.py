from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfj_eval.metrics import Metric, kendall_tau_b, pearson, spearman
from selfj_eval.metrics.ranking import rank_biased_overlap, ranking_agreement

rankings = st.lists(st.sampled_from("abcdefghijkl"), min_size=1, unique=True)
persistence = st.floats(0.01, 0.99)


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
        (lambda: ranking_agreement([1, 2], [1, 2], ["a"]), "1 names for 2 systems"),
        (lambda: ranking_agreement([1, 2], [1, 2], ["a", "a"]), "'a' is in a ranking twice"),
    ],
)
def test_senseless_arguments_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
