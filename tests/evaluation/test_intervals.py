"""Intervals of groups over instructions, and the order of models, as ``evaluate`` gives them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import evaluate, metrics, report
from selfj_eval.metrics import Metric

FAST: dict[str, Any] = {"resamples": 20}
MODELS = ("ann-7b", "bob-7b", "cem-7b", "dan-7b")


def answers(instructions: int = 40, copies: int = 1, seed: int = 0) -> list[dict[str, Any]]:
    """One answer per model and instruction, or copies of it."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(instructions):
        hard, taste = rng.normal(size=2)
        for m, model in enumerate(MODELS):
            truth = 5 + 0.4 * m - hard + rng.normal()
            rating = int(np.clip(round(truth + 0.5 * taste), 1, 10))
            score = float(np.clip(truth + taste + rng.normal(), 0, 9))
            row = {"instruction": f"Question {k}", "response": "x" * int(20 + 9 * truth)}
            row |= {"score": score, "rating": rating, "rating_min": 1, "rating_max": 10}
            row |= {"model": model, "category": f"c{k % 2}"}
            rows += [row | {"id": f"{k}-{m}-{copy}"} for copy in range(copies)]
    return rows


def ends(*found: Metric) -> list[Any]:
    """Values and intervals, to be compared."""
    return [pytest.approx(x, abs=1e-9) for m in found for x in (m.value, m.low, m.high)]


def given(*found: Metric) -> list[float | None]:
    return [x for m in found for x in (m.value, m.low, m.high)]


def test_groups_have_intervals_over_instructions() -> None:
    rows = answers()
    found = evaluate(rows, **FAST)
    for name, group in found.by_category.items():
        own = [row for row in rows if row["category"] == name]
        score, rating, instruction, good = (
            [row[field] for row in own] for field in ("score", "rating", "instruction", "rating")
        )
        good = [value >= 7 for value in good]
        h = group.headline
        functions = (metrics.pearson, metrics.spearman, metrics.kendall_tau_b)
        wanted = [f(score, rating, group=instruction) for f in functions]
        assert given(h.pearson, h.spearman, h.kendall_tau_b) == ends(*wanted)
        assert h.spearman.interval is not None
        assert h.spearman.interval.method == "t, clustered"
        wanted = [
            metrics.mean(score, group=instruction),
            metrics.mean([value - 1 for value in rating], group=instruction),
            metrics.proportion(good, group=instruction),
        ]
        assert given(group.mean_score, group.mean_rating, group.good) == ends(*wanted)
    # A model has one answer to each instruction: its answers are independent.
    interval = found.by_model["ann-7b"].headline.spearman.interval
    assert interval is not None and interval.method == "bonett-wright"
    whole = metrics.mean_within(
        "spearman",
        *([row[field] for row in rows] for field in ("score", "rating", "model")),
        group=[row["instruction"] for row in rows],
    )
    assert given(found.mean_over_models.spearman) == ends(whole)


def test_copies_of_an_answer_make_no_interval_narrower() -> None:
    one, five = (evaluate(answers(copies=copies), **FAST) for copies in (2, 5))
    for name in ("c0", "c1"):
        groups = [found.by_category[name] for found in (one, five)]
        for field in ("mean_score", "mean_rating", "good"):
            two, more = (getattr(group, field) for group in groups)
            assert given(two) == ends(more)
        assert given(groups[0].headline.spearman) == ends(groups[1].headline.spearman)
    assert given(one.mean_over_models.pearson) == ends(five.mean_over_models.pearson)
    assert given(one.length.score_rating_given_length) == ends(
        five.length.score_rating_given_length
    )
    assert given(one.correlation.kendall_tau_b) == ends(five.correlation.kendall_tau_b)
    # Without texts, it is not known that they are copies.
    bare = [
        {k: v for k, v in row.items() if k not in ("instruction", "response")}
        for row in answers(copies=5)
    ]
    alone, known = (
        found.by_category["c0"].headline.spearman for found in (evaluate(bare, **FAST), five)
    )
    assert alone.value == pytest.approx(known.value)
    assert alone.low is not None and alone.high is not None
    assert known.low is not None and known.high is not None
    assert alone.high - alone.low < 0.6 * (known.high - known.low)


def test_one_group_has_the_interval_of_the_whole() -> None:
    rows = [row | {"model": "one", "category": "all"} for row in answers(120)]
    found = evaluate(rows, resamples=1000)
    whole = found.correlation
    for groups, mean in (
        (found.by_category["all"], found.mean_over_categories),
        (found.by_model["one"], found.mean_over_models),
    ):
        h = groups.headline
        numbers = (h.pearson, h.spearman, h.kendall_tau_b)
        assert given(*numbers) == ends(whole.pearson, whole.spearman, whole.kendall_tau_b)
        assert given(mean.pearson, mean.spearman) == ends(whole.pearson, whole.spearman)
    drawn = found.headline.spearman  # the same by a bootstrap
    assert drawn.low == pytest.approx(whole.spearman.low, abs=0.02)
    assert drawn.high == pytest.approx(whole.spearman.high, abs=0.02)


def test_what_is_shown(tmp_path: Path) -> None:
    rows = answers()
    found = evaluate(rows, csv=tmp_path / "all.csv", **FAST)
    soft = metrics.soft_pairwise_accuracy(
        *([row[field] for row in rows] for field in ("score", "rating", "model", "instruction"))
    )
    assert soft.n == 6
    assert found.models is not None
    assert found.models.soft_pairwise_accuracy.value == pytest.approx(soft.value)
    text = str(found)
    assert f"soft pairwise accuracy  {soft.value:.3f}\n" in text
    group = found.by_model["bob-7b"]
    assert group.mean_rating.value is not None and group.mean_rating.high is not None
    half = group.mean_rating.high - group.mean_rating.value
    assert f"{group.mean_rating.value:.2f} ±{half:.2f}" in text
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["models"]["soft_pairwise_accuracy"]["value"] == pytest.approx(soft.value)
    own = document["by_model"]["bob-7b"]
    assert own["n"] == 40
    assert own["mean_rating"]["high"] == group.mean_rating.high
    assert document["mean_over_models"]["spearman"]["low"] is not None
    with (tmp_path / "all.csv").open() as stream:
        table = {(r["scope"], r["name"], r["metric"]): r for r in csv.DictReader(stream)}
    assert float(table["by_model", "bob-7b", "mean_rating"]["high"]) == group.mean_rating.high
    assert float(table["models", "", "soft_pairwise_accuracy"]["value"]) == pytest.approx(
        soft.value
    )
    page = report(rows, resamples=20).html
    assert "order of the models: soft pairwise accuracy</th><td>" + f"{soft.value:.3f}" in page


def test_without_instructions_soft_pairwise_accuracy_says_why() -> None:
    bare = [{k: v for k, v in row.items() if k != "instruction"} for row in answers()]
    found = evaluate(bare, **FAST)
    assert found.models is not None
    assert found.models.soft_pairwise_accuracy.undefined == "the instructions are not known"
    assert "undefined (-): the instructions are not known" in str(found)


def test_the_tolerance_of_ties_is_said_once() -> None:
    rng = np.random.default_rng(2)
    rows = [
        {
            "id": f"{i}-{k}",
            "instruction": f"Question {i}?",
            "response": "r",
            "score": float(np.clip(3 * (k // 2) + rng.normal(0, 0.3), 0, 9)),
            "rating": 1 + k // 2,
            "rating_min": 1,
            "rating_max": 5,
        }
        for i in range(40)
        for k in range(6)
    ]
    found = evaluate(rows, resamples=20)
    assert found.pairwise.epsilon is not None and found.pairwise.epsilon[1] > 0.3
    low, high = (f"{end:.3g}" for end in found.pairwise.epsilon)
    within = low if low == high else f"{low} to {high}"
    assert f"  counting scores within {within} as ties  " in str(found)
