"""What a plan says: how many more answers, which scale is assumed, why a pilot says nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import plan
from selfj_eval.errors import DataError

Rows = list[dict[str, Any]]
ASSUMED = "Standard deviation and correlation are assumed"


def scored(instructions: int = 60, **more: Any) -> Rows:
    """Two models' answers with scores."""
    random = np.random.default_rng(0)
    return [
        {
            "id": f"{model}{k}",
            "model": model,
            "instruction": f"Question {k}?",
            "response": f"Answer {k} by {model}.",
            "score": float(random.uniform(0, 9)),
        }
        | more
        for k in range(instructions)
        for model in "ab"
    ]


def rated(rows: Rows, value: Callable[[int], float]) -> Rows:
    return [{"id": r["id"], "rating": value(k)} for k, r in enumerate(rows)]


def random_part(rows: Rows, count: int) -> Rows:
    return [rows[k] for k in np.random.default_rng(1).permutation(len(rows))[:count]]


def test_the_assumed_scale_is_said(in_process: Any, jsonl: Callable[..., Path]) -> None:
    file = jsonl(*scored(), name="s.jsonl")
    done = in_process("selfj", "plan", file, "--budget", "20")
    note = "  note: the scale of the ratings is not known: 0 to 9 is assumed; give it as --scale\n"
    assert note in done.stdout
    done = in_process("selfj", "plan", file, "--budget", "20", "--scale", "1", "5")
    assert "is assumed" not in done.stdout
    assert plan(scored(rating_min=1, rating_max=5), budget=20).warnings == []
    rows = scored()
    pilot = rated(random_part(rows, 30), lambda k: 1 + k % 5)
    assert plan(rows, budget=20, ratings=pilot).warnings == []  # the ratings say how they vary


def test_how_many_more(in_process: Any, jsonl: Callable[..., Path], tmp_path: Path) -> None:
    rows = scored()
    file = jsonl(*rows, name="s.jsonl")
    pilot = jsonl(*rated(random_part(rows, 30), lambda k: 1 + k % 5), name="pilot.jsonl")
    options = ("--ratings", pilot, "--scale", "1", "5")
    done = in_process("selfj", "plan", file, "--budget", "20", *options)
    first = "Rate 20 more answers (30 of 120 answers to 60 instructions are rated; random).\n"
    assert done.stdout.startswith(first)
    one = plan(rows, budget=1, ratings=rated(rows[:1], lambda k: 3), scale=(1, 5))
    assert str(one).startswith("Rate 1 more answer (1 of 120 answers to 60 instructions is rated;")


@pytest.mark.parametrize(
    ("count", "value", "scores", "why"),
    [
        (8, lambda k: 1 + k % 5, None, "8 ratings are too few, at least 10 are needed"),
        (1, lambda k: 3, None, "1 rating is too few, at least 10 are needed"),
        (30, lambda k: 3, None, "all 30 ratings are 3"),
        (30, lambda k: 1 + k % 5, 4.5, "all 30 scores are 4.5"),
    ],
)
def test_why_a_pilot_says_nothing(
    count: int, value: Callable[[int], float], scores: float | None, why: str
) -> None:
    rows = scored() if scores is None else scored(score=scores)
    found = plan(rows, budget=20, ratings=rated(random_part(rows, count), value), scale=(1, 5))
    assert not found.piloted
    assert f"the pilot does not say what width to expect: {why}. {ASSUMED}" in found.warnings


def test_why_a_pilot_of_two_models_says_nothing() -> None:
    rows = scored()
    for count, why in ((16, "8 rated pairs are too few"), (40, "all 20 differences in rating are")):
        pilot = rated(rows[:count], lambda k: 3.0)
        found = plan(rows, budget=20, ratings=pilot, scale=(1, 5), models=("a", "b"))
        assert any(why in warning for warning in found.warnings)


def test_nothing_to_plan() -> None:
    rows = scored()
    everything = rated(rows, lambda k: 1 + k % 5)
    for size in ({"budget": 100}, {"width": 0.5}):
        with pytest.raises(DataError, match="^all 120 answers are rated: nothing to plan"):
            plan(rows, ratings=everything, **size)
    with pytest.raises(DataError, match="all 60 instructions that both models answered are rated"):
        plan(rows, ratings=everything, budget=2, models=("a", "b"))
    with pytest.raises(DataError, match="but only 1 answer has no rating"):
        plan(rows, ratings=everything[1:], budget=2)
