"""The share of good answers by the judge's verdicts, corrected for its errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from selfj_eval import estimate, evaluate

Make = Callable[..., Any]


def test_verdicts_corrected_where_the_rated_answers_are_better(
    two_models: Make, labels: Make
) -> None:
    """Good answers were rated more often. The correction allows for that, the estimate does not."""
    rows = two_models(instructions=800)
    random = np.random.default_rng(5)
    chosen = {r["id"] for r in rows if random.random() < (0.3 if r["truth"] >= 6 else 0.1)}
    given = labels(rows, chosen)
    found = estimate(rows, ratings=given)
    share = found.estimates[1].combined
    assert found.binary is not None
    corrected = found.binary.corrected
    assert corrected.n == len(rows) - len(chosen)
    truth = np.mean([r["truth"] >= 6 for r in rows])
    of_others = np.mean([r["truth"] >= 6 for r in rows if r["id"] not in chosen])
    assert share.interval is not None
    assert not share.interval.low < truth < share.interval.high
    assert corrected.low is not None and corrected.high is not None
    assert corrected.low < of_others < corrected.high
    assert corrected == evaluate(rows, ratings=given, resamples=20).binary.corrected
    shown = f"(Rogan-Gladen), {corrected.value:.3f} ({corrected.low:.3f} to {corrected.high:.3f})"
    assert shown in str(found)
    assert found.to_dict()["binary"]["corrected"]["value"] == corrected.value
    assert "the judge errs as often on them" in found.to_dict()["correction"]


def test_verdicts_of_a_random_part_are_less_precise(
    two_models: Make, labels: Make, every: Make
) -> None:
    rows = two_models(instructions=300)
    found = estimate(rows, ratings=labels(rows, every(rows, 5)))
    share = found.estimates[1].combined.interval
    assert share is not None and found.binary is not None
    corrected = found.binary.corrected.interval
    assert corrected is not None
    assert corrected.high - corrected.low > share.high - share.low


def test_no_verdicts_where_they_would_mislead(two_models: Make, labels: Make, every: Make) -> None:
    rows = two_models(instructions=100)
    given = labels(rows, every(rows, 3))
    assert estimate(rows, ratings=given, models=("a", "b")).correction is None
    equal = [row | {"inclusion": 1 / 3} for row in given]
    assert estimate(rows, ratings=equal).correction is not None
    unequal = [row | {"inclusion": 0.2 + 0.1 * (k % 2)} for k, row in enumerate(given)]
    assert estimate(rows, ratings=unequal).binary is None
    few = estimate(rows, ratings=labels(rows, {r["id"] for r in rows[:18]})).correction
    assert few is not None  # and nothing that only `evaluate` can be told
    assert few.endswith("only 9 rated instructions to choose a score cut on; rate answers to at "
                        "least 10.")  # fmt: skip
    useless = [r | {"score": float(k * 7919 % 90) / 10} for k, r in enumerate(rows)]
    found = estimate(useless, ratings=given)
    assert any("do not rely on the corrected share" in w for w in found.warnings)
