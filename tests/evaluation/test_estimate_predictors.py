"""What predicts the ratings beside the score."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import estimate
from selfj_eval.errors import DataError
from selfj_eval.evaluation.predictors import from_columns

Make = Callable[..., Any]


def test_several_columns_are_used_where_they_predict_better(
    two_models: Make, labels: Make, every: Make
) -> None:
    """Ratings here follow the answering model far more than the score does."""
    rows = two_models(noise=30.0, instructions=200)
    for row in rows:
        row["truth"] = 8.0 if row["model"] == "a" else 2.0
        row["truth"] += float(len(row["response"]) % 3 == 0)
    given = labels(rows, every(rows, 1))[::2] + labels(rows, every(rows, 1))[1::4]
    found = estimate(rows, ratings=given)
    assert "model" in found.predictors
    alone = estimate(rows, ratings=given, predictors="score")
    assert alone.predictors == ["score"]
    better, worse = (e.estimates[0].combined.effective_labels for e in (found, alone))
    assert better is not None
    assert worse is not None
    assert better > 1.2 * worse
    few = estimate(rows, ratings=given[:60])
    assert few.predictors == ["score"]


def test_the_judges_distribution_predicts_where_its_mean_does_not(
    tmp_path: Path, two_models: Make, labels: Make, every: Make
) -> None:
    """A judge that is sure of 4 or 5 for poor answers, and torn between 0 and 9 for good ones."""
    rows = two_models(instructions=200)
    random = np.random.default_rng(3)
    for row in rows:
        torn = np.clip(row["truth"] / 9 + random.normal(0, 0.1), 0.02, 0.98)
        row["probabilities"] = [torn / 2, *[0.0] * 3, *[(1 - torn) / 2] * 2, *[0.0] * 3, torn / 2]
        row["score"] = 4.5 + random.normal(0, 0.1)
    given = labels(rows, every(rows, 3))
    file = tmp_path / "scores.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for scores in (rows, iter(rows), file):
        found = estimate(scores, ratings=given)
        assert "distribution" in found.predictors
        alone = estimate(rows, ratings=given, predictors="score")
        better, worse = (e.estimates[0].combined.effective_labels for e in (found, alone))
        assert better is not None
        assert worse is not None
        assert better > 1.5 * worse
    rows[5]["probabilities"] = None
    assert "distribution" not in estimate(rows, ratings=given).predictors
    rows[5]["probabilities"] = [0.5, 0.2]
    found = estimate(rows, ratings=given)
    assert "distribution" not in found.predictors
    assert any("distributions are not used" in warning for warning in found.warnings)
    with pytest.raises(DataError, match="add up to 1"):
        estimate(rows, ratings=given, predictors="all")


def test_columns_that_predict_nothing_are_not_used() -> None:
    """What is fitted to them goes against the ratings that were left out."""
    taken = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        columns, rating = random.normal(size=(400, 4)), random.normal(5, 2, 400)
        rating[100:] = np.nan
        found = from_columns(columns, rating, np.arange(400), "auto")
        taken += found is not None
    assert taken <= 3


def test_a_constant_score_without_texts() -> None:
    rows = [{"id": str(k), "score": 5.0} for k in range(300)]
    given = [{"id": str(k), "rating": k % 10, "rating_min": 0, "rating_max": 9}
             for k in range(120)]  # fmt: skip
    found = estimate(rows, ratings=given)
    assert found.predictors == ["score"]
    assert any("the scores are not informative" in w for w in found.warnings)
