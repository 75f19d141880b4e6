"""Kappa, alpha, ICC, noise ceiling and the alternative annotator test, against other programs."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import false_discovery_control, ttest_1samp
from sklearn.metrics import cohen_kappa_score

from selfj_eval.metrics import (
    alternative_annotator_test,
    benjamini_yekutieli,
    cohen_kappa,
    intraclass_correlation,
    krippendorff_alpha,
    noise_ceiling,
)
from selfj_eval.metrics.resampled_raters import ResampledRaters

LEVELS = range(1, 6)
MATRICES = st.tuples(st.integers(2, 8), st.integers(2, 4)).flatmap(
    lambda shape: arrays(
        float, shape, elements=st.sampled_from([np.nan, *(float(x) for x in LEVELS)])
    )
)


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-6, abs=1e-9)


@pytest.fixture(scope="session")
def rated(inference: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratings of four raters, a judge with decimals, and the same judge rounded."""
    own = inference["data"]["raters"]
    return tuple(np.array(own[n], float) for n in ("ratings", "judge_real", "judge_int"))  # type: ignore[return-value]


def test_agreement_oracles(inference: dict[str, Any], rated: Any) -> None:
    ratings, judge, _ = rated
    wanted = inference["c_agreement"]
    kappa = cohen_kappa(ratings[:, 0], ratings[:, 1])
    for name, metric in kappa._asdict().items():
        assert metric.value == close(wanted["cohen_kappa_rater0_rater1"][name])
    assert kappa.linear.n == wanted["rater_0_and_1_both"]
    for name, metric in krippendorff_alpha(ratings)._asdict().items():
        assert metric.value == close(wanted["krippendorff_alpha_4_raters"][name])
    icc, complete = intraclass_correlation(ratings), wanted["icc_complete_items"]
    assert (icc.single.n, icc.dropped) == (complete["items"], 40 - complete["items"])
    assert icc.single.value == close(complete["icc_2_1"])
    assert icc.average.value == close(complete["icc_2_k"])
    assert [icc.single.low, icc.single.high] == [close(x) for x in complete["icc_2_1_f95"]]
    left = wanted["leave_one_rater_out"]
    for k, found in enumerate(noise_ceiling(ratings, judge)):
        assert found.pearson.value == close(left["pearson_rater_vs_mean_of_others"][k])
        assert found.judge_pearson.value == close(left["pearson_judge_vs_same_mean"][k])
        assert found.spearman.value == close(left["spearman_rater"][k])
        assert found.judge_spearman.value == close(left["spearman_judge"][k])


@pytest.mark.parametrize("scoring", ["accuracy", "rmse"])
def test_alternative_annotator_oracles(inference: dict[str, Any], rated: Any, scoring: Any) -> None:
    ratings, real, rounded = rated
    name = "accuracy_judge_int" if scoring == "accuracy" else "neg_rmse_judge_real"
    found = alternative_annotator_test(ratings, real, scoring, epsilons=(0.0, 0.1, 0.2))
    for epsilon, key in (("0.0", "0"), ("0.1", "0.1"), ("0.2", "0.2")):
        wanted = inference["c_agreement"]["alt_test"][f"{name}_eps{epsilon}"]
        assert found.winning_rates[key].value == close(wanted["winning_rate"])
        assert found.advantage.value == close(wanted["average_advantage_probability"])
        assert [r.n for r in found.raters] == wanted["instances"]
        p_values = [r.p_values[key] for r in found.raters]
        assert p_values == [close(p) for p in wanted["p_values"]]
        assert [r.advantage.value for r in found.raters] == [
            close(a) for a in wanted["advantage_probabilities"]
        ]
    if scoring == "accuracy":  # the judge is rounded here
        assert alternative_annotator_test(ratings, rounded, scoring) == alternative_annotator_test(
            ratings, real, scoring
        )


def test_published_examples() -> None:
    """Of Krippendorff (2011), and of Shrout and Fleiss (1979) with McGraw and Wong's interval."""
    nan = np.nan
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
        [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
    ]
    alpha = krippendorff_alpha(np.transpose(observers))
    values = [m.value for m in (alpha.nominal, alpha.ordinal, alpha.interval)]
    assert values == pytest.approx([0.743, 0.815, 0.849], abs=5e-4)
    targets = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    icc = intraclass_correlation(targets)
    assert [icc.single.value, icc.average.value] == pytest.approx([0.29, 0.62], abs=5e-3)
    assert [icc.single.low, icc.single.high] == pytest.approx([0.019, 0.761], abs=5e-4)


@given(MATRICES)
def test_kappa_is_that_of_scikit_learn_on_the_whole_scale(ratings: np.ndarray) -> None:
    both = np.isfinite(ratings[:, :2]).all(axis=1)
    a, b = ratings[both, 0].astype(int), ratings[both, 1].astype(int)
    found = cohen_kappa(ratings[:, 0], ratings[:, 1])
    if len(a) < 2 or len({*a, *b}) == 1:
        assert found.linear.value is None and found.linear.undefined
        return
    for metric, weights in zip(found, (None, "linear", "quadratic"), strict=True):
        theirs = cohen_kappa_score(a, b, labels=list(LEVELS), weights=weights)
        assert metric.value == pytest.approx(theirs, abs=1e-12)


@given(MATRICES)
def test_alpha_is_observed_over_expected_disagreement(ratings: np.ndarray) -> None:
    """By the definition, pair by pair; ordinal by the cumulated counts between two ranks."""
    items = [row[np.isfinite(row)] for row in ratings]
    items = [row for row in items if len(row) > 1]
    values = [value for row in items for value in row]
    found = krippendorff_alpha(ratings)
    if len(set(values)) < 2:
        assert all(m.value is None and m.undefined for m in found)
        return
    count = {level: values.count(level) for level in LEVELS}

    def ordinal(a: float, b: float) -> float:
        low, high = sorted((int(a), int(b)))
        return (sum(count[k] for k in range(low, high + 1)) - (count[a] + count[b]) / 2) ** 2

    kinds = {
        "nominal": lambda a, b: float(a != b),
        "interval": lambda a, b: (a - b) ** 2,
        "ordinal": ordinal,
    }
    n = len(values)
    for name, gap in kinds.items():
        observed = sum(gap(a, b) / (len(row) - 1) for row in items for a, b in permutations(row, 2))
        expected = sum(gap(a, b) for a, b in permutations(values, 2)) / (n - 1)
        assert getattr(found, name).value == pytest.approx(1 - observed / expected, abs=1e-9)


@given(MATRICES, st.integers(0, 2**32 - 1))
def test_a_resample_agrees_as_its_answers_do(ratings: np.ndarray, seed: int) -> None:
    n = len(ratings)
    count = np.bincount(np.random.default_rng(seed).integers(0, n, n), minlength=n)
    repeated, raters = np.repeat(ratings, count, axis=0), ResampledRaters(ratings)

    def same(found: np.ndarray, wanted: Any) -> None:
        for value, metric in zip(found, wanted, strict=True):
            assert value == pytest.approx(
                np.nan if metric.value is None else metric.value, abs=1e-9, nan_ok=True
            )

    same(raters.alphas(count), krippendorff_alpha(repeated))
    for (i, j), found in zip(raters.pairs, raters.kappas(count), strict=True):
        same(found, cohen_kappa(repeated[:, i], repeated[:, j]))


def test_no_order_of_answers_or_raters_matters(rated: Any) -> None:
    ratings, judge, _ = rated
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(40), rng.permutation(4)
    mixed = ratings[rows][:, columns]
    for one, two in zip(krippendorff_alpha(ratings), krippendorff_alpha(mixed), strict=True):
        assert one.value == close(two.value or 0)
    first, second = intraclass_correlation(ratings), intraclass_correlation(mixed)
    assert first.single.value == close(second.single.value or 0)
    ceilings = noise_ceiling(ratings, judge)
    for k, found in zip(columns, noise_ceiling(mixed, judge[rows]), strict=True):
        assert found.judge_spearman.value == close(ceilings[k].judge_spearman.value or 0)
    for scoring in ("accuracy", "rmse"):
        own = alternative_annotator_test(ratings, judge, scoring)  # type: ignore[arg-type]
        other = alternative_annotator_test(mixed, judge[rows], scoring)  # type: ignore[arg-type]
        assert {k: m.value for k, m in own.winning_rates.items()} == {
            k: m.value for k, m in other.winning_rates.items()
        }
        for k, rater in zip(columns, other.raters, strict=True):
            assert rater.advantage == own.raters[k].advantage


def test_answers_to_one_instruction_are_one_observation(rated: Any) -> None:
    """Each answer ten times is not ten times the evidence."""
    ratings, judge, _ = rated
    own = alternative_annotator_test(ratings, judge, "rmse")
    ten = [np.repeat(x, 10, axis=0) for x in (ratings, judge, np.arange(40))]
    grouped = alternative_annotator_test(ten[0], ten[1], "rmse", group=ten[2])
    blind = alternative_annotator_test(ten[0], ten[1], "rmse")
    for one, two, three in zip(own.raters, grouped.raters, blind.raters, strict=True):
        assert two.p_values["0.1"] == close(one.p_values["0.1"] or 0)
        assert (three.p_values["0.1"] or 0) < (one.p_values["0.1"] or 0) / 2


def test_the_t_test_is_that_of_scipy(rated: Any) -> None:
    ratings, judge, _ = rated
    found = alternative_annotator_test(ratings, judge, "rmse", epsilons=(0.15,))
    full = np.isfinite(ratings[:, 2]) & (np.isfinite(ratings).sum(axis=1) > 1)
    others = np.delete(ratings[full], 2, axis=1)
    error = [
        np.sqrt(np.nanmean((others - x[full][:, None]) ** 2, axis=1))
        for x in (ratings[:, 2], judge)
    ]
    d = (error[0] <= error[1]).astype(float) - (error[1] <= error[0])
    wanted = ttest_1samp(d, 0.15, alternative="less").pvalue
    assert found.raters[2].p_values["0.15"] == close(float(wanted))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.sampled_from([0.01, 0.05, 0.3]))
def test_benjamini_yekutieli_is_that_of_scipy(p_values: list[float], error: float) -> None:
    adjusted = false_discovery_control(p_values, method="by")
    if np.isclose(adjusted, error).any():
        return  # which side of a tie rounding puts it on
    assert benjamini_yekutieli(p_values, error).tolist() == (adjusted <= error).tolist()


def test_a_judge_that_is_every_raters_twin_wins_and_noise_does_not() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(1, 6, 200).astype(float)
    ratings = np.clip(truth[:, None] + rng.integers(-1, 2, (200, 4)), 1, 5)
    for scoring in ("accuracy", "rmse"):
        good = alternative_annotator_test(ratings, truth, scoring)  # type: ignore[arg-type]
        assert good.winning_rates["0.1"].value == 1
        noise = rng.permutation(truth)
        bad = alternative_annotator_test(ratings, noise, scoring)  # type: ignore[arg-type]
        assert bad.winning_rates["0.2"].value == 0


def test_no_value_has_a_reason() -> None:
    nan = np.nan
    rng = np.random.default_rng(0)
    two = rng.integers(1, 6, (50, 2)).astype(float)
    found = alternative_annotator_test(two, two[:, 0], "rmse")
    assert found.winning_rates["0.1"].undefined == (
        "only 2 raters; the alternative annotator test needs 3"
    )
    few = rng.integers(1, 6, (29, 3)).astype(float)
    found = alternative_annotator_test(few, few[:, 0], "rmse")
    assert found.advantage.undefined == (
        "only 0 of 3 raters share 30 answers with others; the alternative annotator test needs 3"
    )
    assert found.raters[1].advantage.value is not None
    assert found.raters[1].p_values["0.1"] is None
    constant = np.full((40, 3), 4.0)
    assert krippendorff_alpha(constant).interval.undefined == "all 120 ratings are equal (4)"
    assert intraclass_correlation(constant).single.undefined == "all 120 ratings are equal (4)"
    assert cohen_kappa(constant[:, 0], constant[:, 1]).linear.undefined == (
        "both raters gave all 40 answers the same rating (4)"
    )
    assert (
        alternative_annotator_test(constant, constant[:, 0], "rmse").winning_rates["0.1"].value == 1
    )  # the judge always does as well
    apart = np.array([[1, nan], [nan, 2], [3, nan]])
    assert krippendorff_alpha(apart).nominal.undefined == "no answer has two ratings"
    assert intraclass_correlation(apart).single.undefined == (
        "only 0 answers that every rater has rated; at least 2 are needed"
    )
    assert noise_ceiling(apart, [1, 2, 3])[0].pearson.value is None


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(n, k\)"):
        krippendorff_alpha([1, 2, 3])
    with pytest.raises(ValueError, match="infinity"):
        intraclass_correlation([[1, np.inf], [1, 2]])
    with pytest.raises(ValueError, match=r"shapes \(n, k\) and \(n,\)"):
        alternative_annotator_test([[1, 2]], [1, 2], "rmse")
    with pytest.raises(ValueError, match="unscored"):
        alternative_annotator_test([[1, 2]], [np.nan], "rmse")
