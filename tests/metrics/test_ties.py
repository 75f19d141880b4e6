"""Accuracy with ties, where near scores count as tied."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval.metrics.ties import calibrated_ties


def made(seed: int = 0, groups: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratings of 0, 1 and 2, and scores that follow them with noise."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), 5)
    rating = random.integers(0, 3, 5 * groups).astype(float)
    return rating + random.normal(0, 0.3, 5 * groups), rating, group


def test_published_values(data: Path) -> None:
    """Labels of 0, 1 and 2 on 24 instructions: another program's best tolerances and accuracy."""
    oracles: dict[str, Any] = json.loads((data.parent / "oracles/inference.json").read_text())
    main = {name: np.array(values) for name, values in oracles["data"]["main"].items()}
    expected = oracles["d_pairwise"]["coarse_labels"]["item_cross_fitted"]
    label = np.digitize(main["rating"], [5, 7])
    fold = np.arange(24) % 4
    found = calibrated_ties(main["score"], label, main["instruction"], fold=fold)
    assert found.accuracy.value == pytest.approx(expected["acc23"], rel=1e-6)
    assert found.epsilon == pytest.approx((1.01, 1.62))
    plain = oracles["d_pairwise"]["item_cross_fitted"]
    found = calibrated_ties(main["score"], main["rating"], main["instruction"], fold=fold)
    assert found.accuracy.value == pytest.approx(plain["acc23"], rel=1e-6)
    assert found.epsilon == (0, 0)


def test_by_a_look_at_every_tolerance() -> None:
    score, rating, group = made()
    fold = np.arange(40) % 5
    found = calibrated_ties(score, rating, group, fold=fold)
    pairs = [
        (fold[g], abs(score[i] - score[j]), (score[i] - score[j]) * (rating[i] - rating[j]) > 0,
         rating[i] == rating[j])
        for g in range(40)
        for i, j in combinations(np.flatnonzero(group == g), 2)
    ]  # fmt: skip
    right = 0
    for k in range(5):
        others = [p for p in pairs if p[0] != k]
        tolerances = [0.0, *sorted(p[1] for p in others)]
        hits = [sum(p[3] if p[1] <= e else p[2] for p in others) for e in tolerances]
        epsilon = tolerances[int(np.argmax(hits))] + 1e-9
        right += sum(p[3] if p[1] <= epsilon else p[2] for p in pairs if p[0] == k)
    assert found.accuracy.value == pytest.approx(right / len(pairs))
    assert found.accuracy.n == len(pairs) == 400
    assert found.counts.sum(axis=0).tolist() == [right, 400]


def test_ties_are_found_and_the_order_of_rows_changes_nothing() -> None:
    score, rating, group = made(groups=200)
    found = calibrated_ties(score, rating, group)
    assert found.accuracy.value is not None
    assert found.accuracy.value > 0.75  # without a tolerance every tie, a third, is wrong
    assert found.epsilon is not None
    assert 0.2 < found.epsilon[0] <= found.epsilon[1] < 0.8
    order = np.random.default_rng(1).permutation(len(score))
    assert calibrated_ties(score[order], rating[order], group[order]).accuracy == found.accuracy
    noise = np.random.default_rng(2).normal(size=len(score))
    chance = calibrated_ties(noise, rating, group).accuracy.value
    assert chance == pytest.approx(1 / 3, abs=0.05)


def test_where_there_is_nothing_to_choose_from() -> None:
    score, rating, group = made(groups=9)
    assert calibrated_ties(score, rating, group).accuracy.undefined == (
        "only 9 instructions; at least 10 are needed"
    )
    alone = calibrated_ties(score, rating, np.arange(45))
    assert alone.accuracy.undefined == "no two scored answers are to the same instruction"
    assert alone.epsilon is None
