"""Verdicts, their rates, and the share of good answers that is corrected for them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfj_eval.metrics import (
    JudgedCounts,
    best_cut,
    corrected_share,
    cross_fitted_verdicts,
    proportion,
    rogan_gladen,
    wilson,
)

ROWS = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30)


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-6, abs=1e-9)


def test_oracles(inference: dict[str, Any]) -> None:
    wanted = inference["b_rogan_gladen"]
    names = ("true_positives", "positives", "true_negatives", "negatives")
    counts = JudgedCounts(*(wanted[name] for name in names))
    found = rogan_gladen(wanted["judged_good_unlabelled"], wanted["unlabelled"], counts)
    assert found.value == close(wanted["share"])
    assert [found.low, found.high] == [close(x) for x in wanted["lang_reiczigel95"]]
    second = wanted["second_case"]
    counts = JudgedCounts(second["tp"], second["positives"], second["tn"], second["negatives"])
    found = rogan_gladen(second["judged_good"], second["n"], counts)
    assert found.value == close(second["share"])
    assert [found.low, found.high] == [close(x) for x in second["lang_reiczigel95"]]
    for rate, whole, name in ((10, 19, "tpr"), (17, 21, "tnr")):
        share = proportion([True] * rate + [False] * (whole - rate))
        assert share.value == close(wanted[name])
        assert [share.low, share.high] == [close(x) for x in wanted[f"{name}_wilson95"]]


def test_the_oracle_from_answers(inference: dict[str, Any]) -> None:
    own, wanted = inference["data"]["main"], inference["b_rogan_gladen"]
    judged = np.array(own["score"]) >= 6
    good = (np.array(own["rating"]) >= 7).astype(float)
    good[np.array(own["labelled_spread"]) == 0] = np.nan
    found = corrected_share(judged, good)
    assert found.value == close(wanted["share"])
    assert [found.low, found.high] == [close(x) for x in wanted["lang_reiczigel95"]]
    grouped = corrected_share(judged, good, group=own["instruction"])
    assert grouped.value == close(wanted["share"])
    assert grouped.interval != found.interval
    order = np.random.default_rng(0).permutation(len(good))
    group = np.array(own["instruction"])[order]
    mixed = corrected_share(judged[order], good[order], group=group)
    assert [mixed.low, mixed.high] == [close(grouped.low or 0), close(grouped.high or 0)]


def test_copies_of_answers_are_no_evidence() -> None:
    """Each answer four times in a group of its own has the interval of the answers, at Student's t.

    The variance of the copies is n / (n - 1) times that of the answers.
    """
    rng = np.random.default_rng(4)
    good = (rng.random(400) < 0.4).astype(float)
    judged = rng.random(400) < np.where(good == 1, 0.8, 0.25)
    good[rng.random(400) < 0.6] = np.nan
    own = corrected_share(judged, good)
    copies = [np.repeat(x, 4) for x in (judged, good, np.arange(400))]
    grouped = corrected_share(copies[0], copies[1], group=copies[2])
    blind = corrected_share(copies[0], copies[1])
    for end, wanted in ((grouped.low, own.low), (grouped.high, own.high)):
        assert end == pytest.approx(wanted, abs=2e-3)
    assert own.low is not None and blind.low is not None and blind.low > own.low + 0.03


def test_the_correction_undoes_the_errors_of_the_judge() -> None:
    """Whatever the share of good answers among the rated: TPR 0.8, TNR 0.7 give it back."""
    counts = JudgedCounts(80, 100, 7, 10)
    for share in (0.1, 0.5, 0.9):
        judged = round(10_000 * (share * 0.8 + (1 - share) * 0.3))
        assert rogan_gladen(judged, 10_000, counts).value == close(share)
    assert rogan_gladen(0, 100, counts).value == 0
    assert rogan_gladen(100, 100, counts).value == 1


def test_intervals_cover_the_truth() -> None:
    """Of independent answers and of clusters, at 95 %."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1000):
        tp, tn = rng.binomial(40, 0.8), rng.binomial(30, 0.7)
        judged = rng.binomial(150, 0.35 * 0.8 + 0.65 * 0.3)
        found = rogan_gladen(judged, 150, JudgedCounts(tp, 40, tn, 30))
        assert found.low is not None and found.high is not None
        covered.append(found.low <= 0.35 <= found.high)
    assert 0.935 <= np.mean(covered) <= 0.985
    covered, blind = [], []
    for _ in range(500):
        rate = np.repeat(rng.beta(0.7, 1.3, 60), 5)  # instructions differ, and so does the judge
        mild = np.repeat(rng.normal(0, 0.15, 60), 5)
        good = (rng.random(300) < rate).astype(float)
        judged = rng.random(300) < np.clip(np.where(good == 1, 0.8, 0.25) + mild, 0, 1)
        good[rng.random(60).repeat(5) < 0.5] = np.nan  # whole instructions are rated
        for hits, of in ((covered, np.arange(300) // 5), (blind, None)):
            found = corrected_share(judged, good, group=of)
            assert found.low is not None and found.high is not None
            hits.append(found.low <= 0.35 <= found.high)
    assert 0.925 <= np.mean(covered) <= 0.98
    assert np.mean(blind) < 0.92


def test_a_share_of_clustered_records_has_a_wider_interval() -> None:
    rng = np.random.default_rng(1)
    covered, blind = [], []
    for _ in range(400):
        holds = rng.random(200) < np.repeat(rng.beta(0.7, 0.3, 20), 10)
        group = np.repeat(np.arange(20), 10)
        for hits, of in ((covered, group), (blind, None)):
            found = proportion(holds, group=of)
            assert found.low is not None and found.high is not None
            hits.append(found.low <= 0.7 <= found.high)
    assert np.mean(covered) >= 0.92
    assert np.mean(blind) < 0.75


def test_shares_at_the_ends() -> None:
    assert proportion([]).undefined == "no records"
    alone = proportion([1] * 10)
    assert (alone.value, alone.high) == (1, 1) and alone.low == close(wilson(1, 10).low)
    together = proportion([1] * 10, group=[0] * 5 + [1] * 5)
    assert together.low is not None and together.low < 0.2  # two groups are two observations
    assert proportion([1, 0], group=["a", "a"]).interval is None
    assert proportion([1, 0, 1], group=[0, 1, 2]) == proportion([1, 0, 1])


@given(ROWS)
def test_the_best_cut_is_the_best_of_all(rows: list[tuple[int, bool]]) -> None:
    score, good = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])

    def balanced(cut: float) -> float:
        parts = [(score[good] >= cut), (score[~good] < cut)]
        return sum(float(part.mean()) for part in parts if len(part))

    cut = best_cut(score, good).at
    best = max(balanced(x) for x in score)
    assert balanced(cut) == close(best)
    assert cut == max(x for x in score if math.isclose(balanced(x), best))


def test_verdicts_are_not_flattered() -> None:
    """A score that knows nothing: a cut chosen on the same answers seems to know something."""
    rng = np.random.default_rng(2)
    gains, flattered = [], []
    for _ in range(100):
        score, good = rng.random(60), rng.random(60) < 0.5
        verdict = cross_fitted_verdicts(score, good)
        assert verdict is not None
        for found, said in ((gains, verdict), (flattered, best_cut(score, good)(score))):
            found.append(said[good].mean() + (~said)[~good].mean() - 1)
    assert abs(np.mean(gains)) < 0.05
    assert np.mean(flattered) > 0.12


def test_verdicts_keep_groups_together_and_need_ten() -> None:
    rng = np.random.default_rng(3)
    score, good = rng.random(40), rng.random(40) < 0.5
    assert cross_fitted_verdicts(score[:9], good[:9]) is None
    assert cross_fitted_verdicts(score, good, group=np.arange(40) // 5) is None
    # With an answer's copies in its own fold, they cannot help to judge it.
    copies = [np.repeat(x, 3) for x in (score, good, np.arange(40))]
    verdict = cross_fitted_verdicts(copies[0], copies[1], group=copies[2])
    assert verdict is not None
    assert (verdict.reshape(40, 3) == verdict[::3, None]).all()


def test_no_value_has_a_reason() -> None:
    counts = JudgedCounts(5, 10, 5, 10)
    useless = "the judge calls bad answers good at least as often as it does good ones"
    assert rogan_gladen(5, 10, counts).undefined == useless
    assert rogan_gladen(5, 10, JudgedCounts(0, 0, 5, 10)).undefined == "no rated answer is good"
    assert rogan_gladen(5, 10, JudgedCounts(5, 10, 0, 0)).undefined == "no rated answer is bad"
    assert rogan_gladen(0, 0, counts).undefined == "every scored answer has a rating"
    with pytest.raises(ValueError, match=r"0\.\.10"):
        rogan_gladen(11, 10, counts)
    with pytest.raises(ValueError, match="confidence"):
        rogan_gladen(1, 10, JudgedCounts(9, 10, 9, 10), confidence=1)
    with pytest.raises(ValueError, match="no scored records"):
        best_cut([], [])
