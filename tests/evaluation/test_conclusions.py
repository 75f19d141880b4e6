"""The sentence under an evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from selfj_eval import compare, evaluate


def rows(
    n: int, agreement: float, *, by_length: bool = False, seed: int = 0
) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    truth = random.normal(size=n)
    noise = random.normal(size=n)
    score = agreement * truth + np.sqrt(1 - agreement**2) * noise
    length = 200 + 60 * (truth + 0.1 * random.normal(size=n)) if by_length else np.full(n, 50)
    if not by_length:
        length = random.integers(20, 400, n)
    return [
        {
            "id": str(k),
            "instruction": f"Question {k}?",
            "response": "x" * max(1, int(length[k])),
            "score": float(np.clip(4.5 + 1.5 * score[k], 0, 9)),
            "rating": float(np.clip(4.5 + 1.5 * truth[k], 0, 9)),
            "rating_min": 0,
            "rating_max": 9,
        }
        for k in range(n)
    ]


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        (rows(300, 0.9), "The scores agree strongly with the ratings (Spearman 0.", "length."),
        (rows(300, 0.5), "The scores agree clearly with the ratings", "because of answer length."),
        (rows(50, 0.5), "The scores agree weakly with the ratings", "because of answer length."),
        (rows(300, 0.0), "These instructions cannot show whether the scores agree", ")."),
        (rows(300, -0.6), "The scores go against the ratings (Spearman -0.", ")."),
        (rows(300, 0.5, by_length=True), "The scores agree clearly", "length, nothing is shown."),
        (rows(29, 0.99), "Too few instructions (29) to say how well the scores agree", "ratings."),
        (rows(30, 0.99), "The scores agree strongly", "length."),
        (rows(1, 0.5), "Nothing can be said about agreement: only 1 scored record", "."),
    ],
)
def test_it_says_what_the_intervals_say(given: list[dict[str, Any]], start: str, end: str) -> None:
    found = evaluate(given, resamples=200)
    assert found.conclusion.startswith(start), found.conclusion
    assert found.conclusion.endswith(end), found.conclusion
    assert found.conclusion in str(found)
    assert found.to_dict()["conclusion"] == found.conclusion


def test_two_judges() -> None:
    good, poor = rows(200, 0.9), rows(200, 0.2)
    poor = [
        p | {"rating": g["rating"], "response": g["response"]}
        for p, g in zip(poor, good, strict=True)
    ]
    random = np.random.default_rng(4)
    for row in poor:
        row["score"] = float(random.uniform(0, 9))
    found = compare(good, poor, resamples=200)
    assert "agrees better with the ratings than" in found.conclusion
    assert found.conclusion in str(found)
    near = [row | {"score": row["score"] + float(random.normal(0, 0.05))} for row in good]
    assert "cannot tell which judge" in compare(good, near, resamples=200).conclusion
    few = compare(good[:29], poor[:29], resamples=200)
    wanted = "Too few instructions (29) to say which judge agrees better with the ratings."
    assert few.conclusion == wanted and few.counts.instructions == 29
    same = compare(good, good[::-1], resamples=200).conclusion
    assert same == "Both judges agree with the ratings equally well."
