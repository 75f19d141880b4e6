"""Estimates from many predictions and few ratings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t
from sklearn.linear_model import RidgeCV

from selfj_eval.metrics.cross_fitting import cross_fitted_predictions
from selfj_eval.metrics.prediction_powered import (
    Powered,
    expected_half_width,
    powered_difference,
    powered_mean,
    powered_share,
)
from selfj_eval.metrics.sampling import choose


class Oracle(NamedTuple):
    """Data and values computed elsewhere."""

    columns: dict[str, Any]
    values: dict[str, Any]

    def rating(self, labelled: str, *, good_at: float | None = None) -> np.ndarray:
        rating = self.columns["rating"].astype(float)
        if good_at is not None:
            rating = (rating >= good_at).astype(float)
        return np.where(self.columns[labelled] == 1, rating, np.nan)


@pytest.fixture(scope="session")
def oracle(data: Path) -> Oracle:
    read = json.loads((data.parent / "oracles" / "inference.json").read_text())
    columns = {name: np.array(values) for name, values in read["data"]["main"].items()}
    return Oracle(columns, read["a_prediction_powered"])


def ends(found: Powered) -> list[float]:
    assert found.interval is not None
    return [found.interval.low, found.interval.high]


@pytest.mark.parametrize("design", ["whole", "spread"])
def test_a_mean_with_clusters(oracle: Oracle, design: str) -> None:
    columns, expected = oracle.columns, oracle.values["clustered_mean"][design]
    rating = oracle.rating(f"labelled_{design}")
    found = powered_mean(rating, columns["score"], group=columns["instruction"])
    assert found.tuning == pytest.approx(expected["lambda_all_scores"], rel=1e-6)
    assert found.value == pytest.approx(expected["mean"], rel=1e-6)
    assert found.standard_error == pytest.approx(expected["se_scaled"], rel=1e-6)
    assert ends(found) == pytest.approx(expected["t_g_minus_2"], rel=1e-6)
    assert (found.labels, found.groups) == (expected["labels"], expected["labelled_instructions"])


def test_a_mean_of_independent_answers(oracle: Oracle) -> None:
    """The oracle adds the variances of two independent samples; ours is that of one formula."""
    expected = oracle.values["mean_spread"]
    rating, score = oracle.rating("labelled_spread"), oracle.columns["score"]
    found = powered_mean(rating, score)
    assert found.value == pytest.approx(expected["unclipped_ddof1"]["mean"], rel=1e-6)
    assert ends(found) == pytest.approx(
        expected["unclipped_ddof1"]["t_n_minus_2_residual_scaled"], abs=0.002
    )
    assert found.effective_labels == pytest.approx(
        expected["unclipped_ddof1"]["effective_n"], rel=0.02
    )
    alone = powered_mean(rating, score, tuning=0.0)
    assert alone.value == pytest.approx(expected["lambda_0"]["mean"], rel=1e-6)
    assert alone.effective_labels == 40
    given_tuning = powered_mean(rating, score, tuning=1.5)  # 1 + n / N: the oracle's lambda of 1
    assert given_tuning.value == pytest.approx(expected["lambda_1"]["mean"], rel=1e-6)


def test_a_mean_of_labels_chosen_with_known_probabilities(oracle: Oracle) -> None:
    columns, expected = oracle.columns, oracle.values["active_mean"]
    rating = oracle.rating("labelled_active")
    chosen = {"inclusion": columns["inclusion"]}
    hajek = powered_mean(rating, columns["score"], tuning=1.0, **chosen)
    assert hajek.value == pytest.approx(expected["hajek_lambda_1"]["mean"], rel=1e-6)
    groups = hajek.groups
    scale = (groups / (groups - 2) / (120 / 119)) ** 0.5
    assert hajek.standard_error == pytest.approx(scale * expected["hajek_lambda_1"]["se"], rel=1e-6)
    alone = powered_mean(rating, columns["score"], tuning=0.0, **chosen)
    assert alone.value == pytest.approx(expected["labels_only_hajek"]["mean"], rel=1e-6)


def test_a_share(oracle: Oracle) -> None:
    expected = oracle.values["share_good_spread_p_good"]["unclipped_ddof1"]
    good = oracle.rating("labelled_spread", good_at=7)
    found = powered_share(good, oracle.columns["p_good"])
    assert found.value == pytest.approx(expected["share"], rel=1e-6)
    assert ends(found) == pytest.approx(expected["wilson_at_effective_n"]["interval"], abs=5e-4)


def test_a_share_where_all_labels_are_equal_keeps_an_interval() -> None:
    good = np.where(np.arange(100) < 30, 1.0, np.nan)
    found = powered_share(good, np.linspace(0, 9, 100))
    assert found.value == 1
    assert found.interval is not None
    assert found.interval.low < 0.9
    assert found.interval.high == 1


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_equal_labels_have_the_interval_of_so_many_labels(value: float) -> None:
    """Whatever sums of 1 / n round to: they are often 0.9999999999999999."""
    random = np.random.default_rng(0)
    for n in range(10, 61):
        for rated in (np.arange(100) < n, random.permutation(100) < n):
            good = np.where(rated, value, np.nan)
            found = powered_share(good, random.random(100), tuning=random.choice([None, 0.0, 1.0]))
            z2 = t.ppf(0.975, n - 2) ** 2 / n  # ends where (p - share)^2 = z2 p (1 - p)
            roots = np.roots([1 + z2, -2 * value - z2, value**2])
            assert ends(found) == pytest.approx(sorted(roots), abs=1e-9)
            assert (found.value, found.standard_error) == (value, 0)
            assert found.effective_labels is None


def test_a_difference_of_two_models(oracle: Oracle) -> None:
    """With both answers rated, it is the mean of the differences, clustered by instruction."""
    columns, expected = oracle.columns, oracle.values["difference_model4_minus_model0"]
    pair = np.isin(columns["model"], (0, 4))
    rated = np.isin(columns["instruction"], columns["labelled_pairs_instructions"])
    rating = np.where(rated, columns["rating"], np.nan).astype(float)[pair]
    score, group = columns["score"][pair], columns["instruction"][pair]
    first = columns["model"][pair] == 4
    found = powered_difference(rating, score, first, group=group)
    other = powered_difference(rating, score, ~first, group=group)
    assert found.value == pytest.approx(-other.value)
    assert found.standard_error == pytest.approx(other.standard_error)
    # Another estimator of the same: one weight for the differences, not one per model.
    unit = np.unique(group)
    differences = [
        np.array([values[(group == g) & first][0] - values[(group == g) & ~first][0] for g in unit])
        for values in (rating, score)
    ]
    paired = powered_mean(*differences)
    assert paired.value == pytest.approx(expected["unclipped_ddof1"]["mean"], rel=1e-6)
    assert found.value == pytest.approx(paired.value, abs=0.5 * expected["unclipped_ddof1"]["se"])
    alone = powered_difference(rating, score, first, group=group, tuning=0.0)
    known = ~np.isnan(differences[0])
    assert alone.value == pytest.approx(differences[0][known].mean())


def test_a_difference_needs_ratings_of_both() -> None:
    """One rating of a model says nothing of how its ratings vary."""
    random = np.random.default_rng(0)
    first = np.arange(200) % 2 == 0
    score = random.normal(size=200)
    truth = score + random.normal(size=200)
    few = np.where(~first & (np.arange(200) < 60), truth, np.nan)
    few[0] = truth[0]
    found = powered_difference(few, score, first)
    assert found.value is not None
    assert found.interval is None
    assert found.undefined is not None
    assert found.undefined.startswith(
        "1 rating of one of the two models on 1 instruction is too few"
    )
    swapped = powered_difference(few, score, ~first)
    assert swapped.value == pytest.approx(-found.value)
    none = powered_difference(np.where(first, np.nan, truth), score, first)
    assert none.undefined == "no answer of one of the two models is rated"


def test_a_share_near_an_end_keeps_its_error() -> None:
    """Whether the estimate falls just inside 0 or is cut to it, the interval is about the same."""
    random = np.random.default_rng(3)
    score = random.normal(size=400)
    good = np.where(np.arange(400) < 40, (score + random.normal(size=400) > 2) * 1.0, np.nan)
    widths = {}
    for shift in np.linspace(-2, 2, 201):
        moved = np.where(np.isnan(good), score - shift, score)
        found = powered_share(good, moved)
        assert found.interval is not None
        widths[found.value] = found.interval.high
    values = sorted(widths)
    assert values[0] == 0
    assert any(0 < v < 0.05 for v in values)
    ends = [widths[v] for v in values if v is not None and v < 0.05]
    assert max(ends) < 2 * min(ends)


def test_the_width_to_expect(oracle: Oracle) -> None:
    for case in oracle.values["plan"]["cases"]:
        settings = {"deviation": case["sd"], "correlation": case["rho"]}
        needed = next(
            n
            for n in range(3, 1000)
            if expected_half_width(n, scored=1 / (n + case["N"]), **settings) <= case["half_width"]
        )
        assert needed == case["n"]


@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(0.1, 5))
def test_the_scale_of_the_scores_and_the_order_of_rows_change_nothing(
    seed: int, shift: float, scale: float
) -> None:
    random = np.random.default_rng(seed)
    truth = random.normal(size=60)
    rating = np.where(random.random(60) < 0.5, truth, np.nan)
    score, group = truth + random.normal(size=60), random.integers(0, 20, 60)
    found = powered_mean(rating, score, group=group)
    order = random.permutation(60)
    other = powered_mean(rating[order], (scale * score + shift)[order], group=group[order])
    assert other.value == pytest.approx(found.value)
    assert other.standard_error == pytest.approx(found.standard_error)


def test_too_little_for_an_interval() -> None:
    score = np.arange(20.0)
    none = powered_mean(np.full(20, np.nan), score)
    assert (none.value, none.interval, none.undefined) == (None, None, "no answer is rated")
    few = np.where(score < 9, 5.0, np.nan)
    assert powered_mean(few, score).value == 5
    assert powered_mean(few, score).interval is None
    two = np.where(score < 12, score, np.nan)
    found = powered_mean(two, score, group=score // 6)
    assert found.interval is None
    need = "are too few for an interval, which takes at least 10 ratings on 3 instructions"
    assert found.undefined == (
        f"12 ratings on 2 instructions {need}: rate answers to 1 more instruction"
    )
    for labels, groups, sentence in (
        (8, 8, f"8 ratings on 8 instructions {need}: 2 more are needed"),
        (9, 3, f"9 ratings on 3 instructions {need}: 1 more is needed"),
        (9, 1, f"9 ratings on 1 instruction {need}: rate answers to 2 more instructions"),
        (4, 1, f"4 ratings on 1 instruction {need}: 6 more are needed, and answers to 2 more "
               "instructions"),
        (1, 1, f"1 rating on 1 instruction {need.replace('are', 'is', 1)}: 9 more are needed, and "
               "answers to 2 more instructions"),
    ):  # fmt: skip
        rating = np.where(score < labels, score, np.nan)
        found = powered_mean(rating, score, group=np.minimum(score, groups - 1))
        assert found.undefined == sentence


def test_no_interval_where_ratings_do_not_vary() -> None:
    score = np.arange(40.0)
    equal = np.where(score < 20, 3.0, np.nan)
    found = powered_mean(equal, score)
    assert (found.value, found.interval, found.standard_error) == (pytest.approx(3), None, None)
    assert found.undefined == "all 20 ratings are 3, so no interval can be given"
    assert powered_mean(equal, score, tuning=1.0).interval is None  # its error is that of scores
    first = score % 2 == 0
    assert powered_difference(equal, score, first).undefined == found.undefined
    apart = powered_difference(equal + first, score, first)
    assert (apart.value, apart.interval) == (pytest.approx(1), None)
    assert apart.undefined == (
        "the ratings of each of the two models do not vary, so no interval can be given"
    )
    one_varies = np.where(first, equal, equal + score % 3)
    assert powered_difference(one_varies, score, first).interval is not None
    share = powered_share(np.where(score < 20, 0.0, np.nan), score)
    assert share.interval is not None and share.interval.high > 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prediction": [np.nan] * 20}, "skip unscored answers"),
        ({"prediction": [1.0] * 19}, "two arrays of shape"),
        ({"inclusion": [0.0] * 20}, r"not in \(0, 1\]"),
        ({"inclusion": [1.5] * 20}, r"not in \(0, 1\]"),
        ({"rating": [np.inf] * 20}, "infinite"),
    ],
)
def test_wrong_input(change: dict[str, Any], message: str) -> None:
    given = {"rating": np.arange(20.0), "prediction": np.arange(20.0)} | change
    with pytest.raises(ValueError, match=message):
        powered_mean(**given)


def test_intervals_cover_when_labels_are_planned() -> None:
    """95 % intervals of the mean of a clustered population, labels of each design."""
    random = np.random.default_rng(5)
    covered = {"same": 0, "unequal": 0}
    draws = 400
    for seed in range(draws):
        level = np.repeat(random.normal(5, 1, 60), 5)
        truth = level + random.normal(0, 1.5, 300)
        score = truth + random.normal(0, 1, 300)
        group = np.repeat(np.arange(60), 5)
        for name, size in (("same", np.ones(300)), ("unequal", 0.5 + random.random(300))):
            sample = choose(60, size=size, group=group, seed=seed)
            rating = np.full(300, np.nan)
            rating[sample.chosen] = truth[sample.chosen]
            found = powered_mean(rating, score, group=group, inclusion=sample.inclusion)
            low, high = ends(found)
            covered[name] += low <= 5 <= high
    for name, hits in covered.items():
        assert 0.91 <= hits / draws <= 0.985, name


@pytest.mark.parametrize("q", [1, 4, 60])
def test_cross_fitted_predictions_are_those_of_scikit_learns_ridge(q: int) -> None:
    random = np.random.default_rng(q)
    columns = random.normal(size=(90, q))
    columns[:, -1] = random.random(90) < 0.02  # in most folds a constant
    group = np.arange(90)
    rating = 3 + columns[:, 0] + random.normal(0, 2, 90)
    rating[50:] = np.nan  # fewer rows than columns, where there are 60
    found = cross_fitted_predictions(columns, rating, group)
    used = columns[:, columns.std(axis=0) > 0]
    x = (used - used.mean(axis=0)) / used.std(axis=0)
    fold = np.random.default_rng(0).permutation(50) % 5
    expected, of_others = np.empty(50), []
    for k in range(5):
        fit = RidgeCV(alphas=np.logspace(-2, 3, 11)).fit(x[:50][fold != k], rating[:50][fold != k])
        expected[fold == k] = fit.predict(x[:50][fold == k])
        of_others.append(fit.predict(x[50:]))
    assert found is not None
    assert found[:50] == pytest.approx(expected, abs=1e-9)
    assert found[50:] == pytest.approx(np.mean(of_others, axis=0), abs=1e-9)


def test_cross_fitted_predictions_are_made_without_the_answers_instruction() -> None:
    random = np.random.default_rng(1)
    columns = random.normal(size=(200, 3))
    group = np.repeat(np.arange(50), 4)
    rating = columns @ [1.0, -2.0, 0.0] + random.normal(0, 0.1, 200)
    rating[random.random(200) < 0.5] = np.nan
    found = cross_fitted_predictions(columns, rating, group)
    assert found is not None
    rated = ~np.isnan(rating)
    assert np.corrcoef(found[rated], rating[rated])[0, 1] > 0.99
    noise = cross_fitted_predictions(random.normal(size=(200, 30)), rating, group)
    assert noise is not None
    assert np.corrcoef(noise[rated], rating[rated])[0, 1] < 0.3  # in-sample it would be above 0.5
    changed = rating.copy()
    changed[group == 7] += 100  # its own fold's prediction does not see it
    again = cross_fitted_predictions(columns, changed, group)
    assert again is not None
    assert again[(group == 7) & rated] == pytest.approx(found[(group == 7) & rated])
    assert cross_fitted_predictions(columns, np.where(group < 9, rating, np.nan), group) is None
