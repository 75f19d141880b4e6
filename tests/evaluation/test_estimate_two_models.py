"""The difference of two models, and how often one is rated higher."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from selfj_eval import estimate, plan

Make = Callable[..., Any]


def test_two_models(two_models: Make, labels: Make) -> None:
    rows = two_models(instructions=150)
    planned = plan(rows, budget=120, models=("a", "b"))
    ids = {row["id"] for row in planned.planned}
    assert len(ids) == 120
    assert len({row["instruction"] for row in planned.planned}) == 60  # both answers to each
    given = [
        row | {"inclusion": p["inclusion"]}
        for p in planned.planned
        for row in labels(rows, {p["id"]})
    ]
    found = estimate(rows, ratings=given, models=("a", "b"))
    difference, wins = found.estimates
    by_model = {m: np.mean([r["truth"] for r in rows if r["model"] == m]) for m in "ab"}
    assert difference.quantity == "difference"
    assert difference.combined.interval is not None
    low, high = difference.combined.interval[:2]
    assert low < by_model["a"] - by_model["b"] < high
    assert low > 0
    pairs = zip(rows[::2], rows[1::2], strict=True)
    rate = np.mean([(math.copysign(1, d) + 1) / 2 if (d := a["truth"] - b["truth"]) else 0.5
                    for a, b in pairs])  # fmt: skip
    assert wins.combined.interval is not None
    assert wins.combined.interval.low < rate < wins.combined.interval.high
    back = estimate(rows, ratings=given, models=("b", "a")).estimates
    assert back[0].combined.value == pytest.approx(-(difference.combined.value or 0))
    assert back[1].combined.value == pytest.approx(1 - (wins.combined.value or 0))


def test_two_models_where_some_answers_are_rated_alone(two_models: Make, labels: Make) -> None:
    """Rating stopped within a pair, or the plan was not for pairs: pairs are used where whole."""
    rows = two_models(instructions=150)
    planned = plan(rows, budget=120, models=("a", "b")).planned
    given = [row | {"inclusion": p["inclusion"]} for p in planned[:61]
             for row in labels(rows, {p["id"]})]  # fmt: skip
    wins = estimate(rows, ratings=given, models=("a", "b")).estimates[1].combined
    assert wins.labels == 30
    assert wins.interval is not None
    both = plan(rows, budget=200).planned
    given = [row | {"inclusion": p["inclusion"]} for p in both for row in labels(rows, {p["id"]})]
    wins = estimate(rows, ratings=given, models=("a", "b")).estimates[1].combined
    assert wins.undefined is None


def test_the_models_are_named(two_models: Make, labels: Make, every: Make) -> None:
    rows = two_models(instructions=150)
    given = labels(rows, every(rows, 1))[:200]
    for models in (("a", "b"), ("b", "a")):
        found = estimate(rows, ratings=given, models=models)
        low, high = sorted(map(abs, found.estimates[0].combined.interval[:2]))
        value = abs(found.estimates[0].combined.value)
        start = f"a is rated higher than b, by {value:.2f} ({low:.2f} to {high:.2f}). That is as "
        assert found.conclusion.startswith(start)
        assert found.to_dict()["models"] == list(models)
    same = [{**row, "truth": 5.0 + (k // 2) % 3} for k, row in enumerate(rows)]
    found = estimate(same, ratings=labels(same, every(same, 1))[:200], models=("a", "b"))
    start = "These ratings do not show whether a or b is rated higher: the difference is "
    assert found.conclusion.startswith(start)


def test_why_there_is_no_win_rate(two_models: Make, labels: Make) -> None:
    rows = two_models(instructions=100)
    apart = {f"a{k}" for k in range(30)} | {f"b{k}" for k in range(50, 80)}
    found = estimate(rows, ratings=labels(rows, apart), models=("a", "b"))
    reason = "no instruction has ratings for both models' answers"
    assert found.estimates[1].combined.undefined == reason
    assert f"\n  win rate: {reason}\n" in f"{found}\n"
    for k, only, need in (
        (1, "1 instruction has", "9 more are"),
        (9, "9 instructions have", "1 more is"),
    ):
        some = apart | {f"b{n}" for n in range(k)}
        found = estimate(rows, ratings=labels(rows, some), models=("a", "b"))
        assert found.estimates[1].combined.undefined == (
            f"only {only} ratings for both models' answers; an interval takes at least 10: "
            f"{need} needed"
        )


def test_answers_by_one_model_alone_are_skipped_and_counted(
    two_models: Make, labels: Make, every: Make
) -> None:
    rows = two_models(instructions=60)
    alone = [r | {"id": f"z{r['id']}", "instruction": f"Alone {k}?"}
             for k, r in enumerate(rows[:80:2])]  # fmt: skip
    given = labels(rows + alone, every(rows, 1) | {r["id"] for r in alone[:30]})
    shared = estimate(rows, ratings=given[:120], models=("a", "b"))
    found = estimate(rows + alone, ratings=given, models=("a", "b"))
    assert (found.answers, found.labels, found.instructions) == (120, 120, 60)
    assert found.labelled_instructions == 60
    skipped = "40 answers skipped (30 of them rated): there is none to the same instruction by the"
    assert any(w == f"{skipped} other model" for w in found.warnings)
    assert found.estimates[0].ratings_only.value == shared.estimates[0].ratings_only.value


def test_several_answers_of_a_model_to_an_instruction(two_models: Make, labels: Make) -> None:
    """`plan` chooses one answer of each model; the others have no rating."""
    rows = two_models(instructions=60)
    rows += [r | {"id": f"z{r['id']}", "response": "again"} for r in rows]
    planned = plan(rows, budget=60, models=("a", "b")).planned
    given = [
        row | {"inclusion": p["inclusion"]} for p in planned for row in labels(rows, {p["id"]})
    ]
    wins = estimate(rows, ratings=given, models=("a", "b")).estimates[1].combined
    assert (wins.labels, wins.undefined) == (30, None)
    assert wins.interval is not None


def test_scores_are_not_said_to_add_nothing_where_all_is_rated(
    two_models: Make, labels: Make, every: Make
) -> None:
    rows = two_models(noise=0.1)
    found = estimate(rows, ratings=labels(rows, every(rows, 1)))
    assert not any("add nothing" in warning for warning in found.warnings)
