"""What is said of several raters, and of ratings that cannot be read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import DataError, compare, evaluate, select
from selfj_eval.evaluation.conclusions import conclusions_on_raters
from selfj_eval.judging.scored import Scores, as_scores
from selfj_eval.metrics import noise_ceiling

Jsonl = Callable[..., Path]
NAMES = ("ann", "bob", "cem", "dan")
RUN = {"judge": {"model": "m", "template": "default"}}


def rated(ratings: np.ndarray, score: np.ndarray, *, known: bool = True) -> Scores:
    """Answers to an instruction each, rated from 0 to 9, with the run file of their scores."""
    rows: list[dict[str, Any]] = [
        {
            "id": f"{k:03}",
            "instruction": f"Question {k}?",
            "response": "r",
            "score": float(s),
            "ratings": dict(zip(NAMES, map(float, row), strict=False)),
            "rating_min": 0,
            "rating_max": 9,
        }
        for k, (row, s) in enumerate(zip(ratings, score, strict=True))
    ]
    return replace(as_scores(rows), run=RUN if known else {})


def drawn(n: int, noise: tuple[float, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ratings whose errors are of these sizes, one size a rater, and what they are about."""
    random = np.random.default_rng(seed)
    truth = random.integers(1, 9, n)
    errors = np.column_stack([random.normal(0, size, n) for size in noise])
    return np.clip(np.rint(truth[:, None] + errors), 0, 9), truth.astype(float)


@pytest.mark.parametrize(
    ("n", "noise", "start"),
    [
        (100, (0.5, 0.5, 0.5), "The raters agree well (Krippendorff's alpha 0."),
        (300, (1.3, 1.3, 1.3), "The raters agree well enough for tentative conclusions"),
        (100, (1.5, 1.5, 1.5), "It is not certain that the raters agree well enough"),
        (100, (9.0, 9.0, 9.0), "The raters do not agree well enough to rely on their ratings"),
        (29, (0.1, 0.1, 0.1), "Too few instructions (29) to say how well the raters agree."),
    ],
)
def test_how_well_the_raters_agree_is_said(n: int, noise: tuple[float, ...], start: str) -> None:
    found = evaluate(rated(*drawn(n, noise)), resamples=100)
    assert found.raters is not None
    sentence = conclusions_on_raters(found.raters)[0]
    assert sentence.startswith(start), sentence
    assert sentence in str(found)
    interval = found.raters.alpha.interval.interval
    if n >= 30:
        assert interval is not None
        assert f"{interval.low:.2f} to {interval.high:.2f})" in sentence
        assert (interval.low >= 0.8) == ("agree well (" in sentence)
        assert (interval.low >= 0.667) == ("certain" not in sentence and "do not" not in sentence)


def test_whether_the_judge_may_replace_a_rater_is_said() -> None:
    ratings, truth = drawn(200, (0.6, 0.6, 2.5))
    answers = ratings[:, :3]
    random = np.random.default_rng(1)
    worse = evaluate(rated(answers, np.clip(truth + random.normal(0, 1, 200), 0, 9)), resamples=20)
    assert worse.raters is not None
    for name, test in (("equal", worse.raters.judge.accuracy), ("close", worse.raters.judge.rmse)):
        rates = {e: m.value for e, m in test.winning_rates.items()}
        passed = [e for e, rate in rates.items() if rate is not None and rate >= 0.5]
        (sentence,) = (s for s in conclusions_on_raters(worse.raters) if s.startswith(f"By {name}"))
        assert sentence in str(worse)
        if passed:
            won = round(3 * (rates[passed[0]] or 0))
            assert f"may replace a rater at epsilon {passed[0]} ({won} of 3 raters)" in sentence
            assert ("; not at " in sentence) == (len(passed) < 3)
        else:
            assert "is not shown to replace a rater, not even at epsilon 0.2" in sentence
    best = evaluate(rated(answers, truth), resamples=20).raters
    assert best is not None
    assert "By close ratings, the judge may replace a rater at epsilon 0.1 (3 of 3 raters)." in (
        conclusions_on_raters(best)
    )
    poor = evaluate(rated(answers, 9 - truth), resamples=20).raters
    assert poor is not None
    assert (
        "By close ratings, the judge is not shown to replace a rater, not even at epsilon 0.2 "
        "(0 of 3 raters)."
    ) in conclusions_on_raters(poor)


def test_without_a_test_there_are_neither_p_values_nor_verdicts() -> None:
    ratings, truth = drawn(100, (1.0, 1.0))
    found = evaluate(rated(ratings, truth), resamples=20)
    text = str(found)
    assert (
        "winning rate, epsilon 0.1 " in text and "passed at a winning rate of 0.5 or more" in text
    )
    assert "only 2 raters; the alternative annotator test needs 3" in text
    assert "replace a rater" not in text
    for name in NAMES[:2]:
        (line,) = (one for one in text.splitlines() if one.strip().startswith(f"{name} "))
        assert line.split()[-1] == "-", line
    three = str(evaluate(rated(*drawn(100, (1.0, 1.0, 1.0))), resamples=20))
    (line,) = (one for one in three.splitlines() if one.strip().startswith("ann "))
    assert float(line.split()[-1]) <= 1


def test_a_missing_ceiling_says_whose_ratings_are_equal() -> None:
    score = np.arange(40.0)
    equal = np.full((40, 3), 3.0)
    reasons = {m.undefined for one in noise_ceiling(equal, score) for m in one}
    assert reasons == {"the mean ratings of the other raters are all equal"}
    one_flat = np.column_stack([score % 5, score % 7, np.full(40, 3.0)])
    found = noise_ceiling(one_flat, score)
    assert found[2].pearson.undefined == "the rater's own ratings are all equal"
    assert found[2].judge_pearson.undefined is None and found[0].pearson.undefined is None
    assert noise_ceiling(one_flat, equal[:, 0])[0].judge_spearman.undefined == (
        "the scores are all equal"
    )
    alone = np.full((40, 2), math.nan)
    alone[0] = 1, 2
    assert "only 1 answer with ratings" in str(noise_ceiling(alone, score)[0].pearson.undefined)


SCORES = [{"id": "a", "score": 3}, {"id": "b", "score": 5}]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "id,rating\na,1\na,2\n",
            "ids must be unique. Several raters? Add a column `rater`.",
        ),
        (
            "id,ann,bob\na,1,2\nb,3,4\n",
            "field 'rating': no row has a rating; the first has: id, ann, bob. Give the ratings in "
            "a column 'rating' (with several raters one row for each answer and rater, named in a "
            "column 'rater'), or all ratings of an answer in a column 'ratings'",
        ),
        ("id,rating\na,\nb,\n", "the column 'rating' is empty; write them there."),
        ("id,ratings\na,\nb,\n", "the column 'ratings' is empty; write them there."),
        (
            "answer,rating\na,1\nb,2\n",
            "the fields here are: answer, rating. Add it, or rename the column that holds it to "
            "`id`.",
        ),
        (
            "id,rating,rating_min,rating_max\na,8,1,5\nb,9,1,5\n",
            "no rating is on its scale; first row 2: 8 is not in 1 to 5",
        ),
    ],
    ids=["twice", "column a rater", "empty", "empty lists", "another name", "off the scale"],
)
def test_a_file_of_ratings_that_has_none(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(table)
    with pytest.raises(DataError) as caught:
        evaluate(SCORES, ratings=path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_ratings_without_a_scale_are_looked_for_where_they_are(
    jsonl: Jsonl, tmp_path: Path
) -> None:
    scores = jsonl(*SCORES, name="scores.jsonl")
    others = jsonl(*({**row, "score": 1} for row in SCORES), name="others.jsonl")
    labels = jsonl(*({"id": own, "rating": 1 + k} for k, own in enumerate("ab")), name="l.jsonl")
    for verb in (
        lambda: evaluate(scores, ratings=labels),
        lambda: compare(scores, others, ratings=labels),
        lambda: select(scores, ratings=labels, max_risk=0.2, output=tmp_path / "p.json"),
    ):
        with pytest.raises(DataError, match=r"l\.jsonl, field 'rating': `good_at` is 6, but"):
            verb()
