"""Ratings that are no random part are noticed: a pilot chosen by eye, blanks in a plan's file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from selfj_eval import estimate, evaluate, plan
from selfj_eval.errors import DataError
from selfj_eval.evaluation.estimation import Estimation
from selfj_eval.evaluation.planned import Plan

Rows = list[dict[str, Any]]
NOT_LIKE = "the rated answers are not like the others in score"
NOT_FIRST = "the rated rows are not the first ones of the file"


def scored(models: str = "ab", instructions: int = 200, **more: Any) -> Rows:
    """Answers with scores, and the ratings that people would give as ``truth``."""
    random = np.random.default_rng(0)
    rows = []
    for k in range(instructions):
        for model in models:
            truth = float(random.integers(0, 10))
            score = float(np.clip(truth + random.normal(0, 1.5), 0, 9))
            rows.append(
                {
                    "id": f"{model}{k}",
                    "model": model,
                    "instruction": f"Question {k}?",
                    "response": "word " * int(random.integers(1, 50)),
                    "score": score,
                    "truth": truth,
                }
                | more
            )
    return rows


def ratings(rows: Rows, ids: list[str]) -> Rows:
    truth = {r["id"]: r["truth"] for r in rows}
    return [{"id": i, "rating": truth[i], "rating_min": 0, "rating_max": 9} for i in ids]


def best(rows: Rows, count: int) -> list[str]:
    return [r["id"] for r in sorted(rows, key=lambda r: -r["truth"])[:count]]


def filled(planned: Plan, rows: Rows, ids: list[str] | None = None) -> Rows:
    """The rows of a plan's file, rated where the id is among some."""
    truth = {r["id"]: r["truth"] for r in rows}
    return [
        row | {"rating": truth[row["id"]] if ids is None or row["id"] in ids else row["rating"]}
        for row in planned.planned
    ]


def says(found: Plan | Estimation, sentence: str) -> bool:
    return any(sentence in warning for warning in found.warnings)


def test_a_pilot_that_was_chosen_by_eye() -> None:
    """It must not become a random part by being in a plan's file."""
    rows = scored()
    planned = plan(rows, budget=20, ratings=ratings(rows, best(rows, 60)))
    assert says(planned, NOT_LIKE)
    assert says(planned, "A pilot must be a random part")
    found = estimate(rows, ratings=filled(planned, rows))
    assert says(found, NOT_LIKE)
    truth = np.mean([r["truth"] for r in rows])
    interval = found.estimates[0].combined.interval
    assert interval is not None
    assert interval.low > truth  # so the warning is needed


def test_a_pilot_that_is_a_random_part() -> None:
    rows = scored()
    first = plan(rows, budget=60, scale=(0, 9))
    planned = plan(rows, budget=40, ratings=filled(first, rows))
    assert planned.warnings == []
    found = estimate(rows, ratings=filled(planned, rows))
    assert found.warnings == []
    assert {test.value for test in found.likeness} == {"score", "length"}


def test_blanks_in_a_file_that_was_rated_from_the_top() -> None:
    """Stopping early is allowed, and counted."""
    rows = scored()
    planned = plan(rows, budget=60, scale=(0, 9))
    order = [row["id"] for row in planned.planned]
    found = estimate(rows, ratings=filled(planned, rows, order[:30]))
    assert found.labels == 30
    assert found.warnings == ["30 of the 60 chosen answers are not rated"]
    found = estimate(rows, ratings=filled(planned, rows, order[:59]))
    assert found.warnings == ["1 of the 60 chosen answers is not rated"]
    pilot = filled(planned, rows, order[:30])
    assert plan(rows, budget=10, ratings=pilot).warnings == [
        "30 of the 60 chosen answers are not rated"
    ]
    assert estimate(rows, ratings=filled(planned, rows)).warnings == []


def test_blanks_in_a_file_of_which_the_best_answers_were_rated() -> None:
    rows = scored()
    planned = plan(rows, budget=60, scale=(0, 9))
    chosen = {row["id"] for row in planned.planned}
    picked = best([r for r in rows if r["id"] in chosen], 30)
    given = filled(planned, rows, picked)
    for found in (estimate(rows, ratings=given), plan(rows, budget=10, ratings=given)):
        assert says(found, "30 of the 60 chosen answers are not rated")
        assert says(found, NOT_FIRST)
        assert says(found, NOT_LIKE)
    # What the numbers are does not depend on the blanks.
    rated = [row for row in given if row["rating"] is not None]
    assert estimate(rows, ratings=given).estimates == estimate(rows, ratings=rated).estimates
    one, other = (evaluate(rows, ratings=r, resamples=20) for r in (given, rated))
    assert one.headline == other.headline


def test_chances_that_differ_are_no_evidence_but_blanks_are() -> None:
    """An active plan rates other answers than the rest; among those that it chose, all is fair."""
    rows = scored()
    for row in rows:  # the judge is unsure of good answers
        unsure = row["score"] > 6
        row["probabilities"] = [0.1] * 10 if unsure else [0.0] * 5 + [1.0] + [0.0] * 4
    planned = plan(rows, budget=80, design="active", scale=(0, 9))
    found = estimate(rows, ratings=filled(planned, rows))
    assert found.likeness == []
    assert found.warnings == []
    order = [row["id"] for row in planned.planned]
    early = estimate(rows, ratings=filled(planned, rows, order[:40]))
    assert len(early.warnings) == 1
    assert "If the plan had a pilot, rate them too" in early.warnings[0]
    picked = best([r for r in rows if r["id"] in order], 40)
    found = estimate(rows, ratings=filled(planned, rows, picked))
    assert says(found, NOT_FIRST)
    assert says(found, NOT_LIKE)


def test_two_models_are_compared_with_the_instructions_that_both_answered() -> None:
    """Answers that could not be chosen say nothing against the choice."""
    rows = scored(instructions=100)
    alone = [
        {**r, "id": f"x{k}", "instruction": f"Other question {k}?", "score": 0.1 * (k % 10)}
        for k, r in enumerate(scored("a", 400))
    ]
    models = ("a", "b")
    planned = plan([*rows, *alone], budget=80, models=models, scale=(0, 9))
    given = filled(planned, rows)
    found = estimate([*rows, *alone], ratings=given, models=models)
    assert not says(found, NOT_LIKE)
    assert not says(plan([*rows, *alone], budget=20, models=models, ratings=given), NOT_LIKE)
    assert says(estimate([*rows, *alone], ratings=given), NOT_LIKE)


def test_a_plan_that_nobody_has_filled_in() -> None:
    rows = scored()
    planned = plan(rows, budget=30, scale=(0, 9))
    with pytest.raises(DataError, match="no row has a rating"):
        estimate(rows, ratings=planned.rows())
