"""Whether a judge beats raters without a model: the rule, and what it is computed on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from selfj_eval.evaluation.options import BootstrapOptions
from selfj_eval.evaluation.simple_raters import (
    COSINE,
    LENGTH,
    TFIDF,
    Against,
    against_simple_raters,
    pairings,
    verdict,
)
from selfj_eval.judging.scored import Scored, Scores

OPTIONS = BootstrapOptions(resamples=300)


def judge(n: int = 120, seed: int = 0, name: str = "one", run: Any = None, **how: Any) -> Scores:
    """Scores that follow the ratings by ``noise``; answers as long as ``length`` says."""
    rng = np.random.default_rng(seed)
    rating = rng.integers(0, 10, n)
    score = rating + rng.normal(0, how.get("noise", 1), n)
    length = 20 + 5 * (rating if how.get("length") == "rating" else rng.integers(0, 10, n))
    answers = [
        Scored(
            id=str(k),
            score=float(score[k]),
            rating=float(rating[k]),
            rating_min=0,
            rating_max=9,
            instruction=f"question {k}",
            response="w" * int(length[k]),
            reference=how.get("reference"),
        )
        for k in range(n)
    ]
    return Scores(name, f"{name}.jsonl", name, answers, run or {})


def found(*judges: Scores) -> list[list[Against]]:
    return against_simple_raters(judges, pairings(judges), OPTIONS)


def test_a_judge_that_knows_the_ratings_beats_length() -> None:
    scores = judge()
    ((length, words),) = found(scores)
    assert (length.rater, length.beaten, length.answers) == (LENGTH, "yes", 120)
    rating = [a.rating for a in scores.answers]
    rho = [
        spearmanr(values, rating).statistic
        for values in (
            [a.score for a in scores.answers],
            [len(a.response or "") for a in scores.answers],
        )
    ]
    assert length.spearman is not None
    assert length.spearman.difference.value == pytest.approx(rho[0] - rho[1])
    # No resample has length ahead: twice (0 + 1) / (300 + 1), and it is the only comparison.
    assert length.holm == pytest.approx(2 / 301)
    assert (words.rater, words.spearman, words.reason) == (TFIDF, None, "no answer has a reference")
    assert verdict([length, words]) == "yes"


def test_a_judge_that_guesses_does_not_beat_a_length_that_is_the_rating() -> None:
    ((length, words),) = found(judge(noise=30, length="rating", reference="a reference"))
    assert length.beaten == "no"
    assert words.reason is not None and words.beaten == "cannot say"  # all cosines are 0
    assert verdict([length, words]) == "no"


def test_what_may_be_chance_cannot_be_said() -> None:
    guess = judge(noise=60)
    ((length, _),) = found(guess)
    assert length.beaten == verdict([length]) == "cannot say"
    assert length.reason is not None and length.reason.startswith("the difference may be chance")
    ((few, _),) = found(judge(n=29))
    assert (few.beaten, few.reason) == ("cannot say", "too few instructions (29)")
    assert verdict([]) == "cannot say"


def test_all_comparisons_of_the_judges_share_the_error() -> None:
    judges = [judge(name="one", seed=1), judge(name="two", seed=2), judge(name="guess", noise=60)]
    adjusted = [against[0].holm for against in found(*judges)]
    assert adjusted[:2] == pytest.approx([3 * 2 / 301] * 2)  # the two smallest of three
    assert adjusted[2] == found(judges[2])[0][0].holm  # the largest is not adjusted


def test_scores_by_cosine_take_the_place_of_words_and_are_not_judged() -> None:
    cosine = judge(name="c", noise=60, run={"judge": {"rater": "CosineRater"}})
    one, none = found(judge(), cosine)
    assert [against.rater for against in one] == [LENGTH, COSINE] and none == []
    assert one[1].beaten == "yes" and one[1].spearman is not None
    theirs = spearmanr([a.score for a in cosine.answers], [a.rating for a in cosine.answers])
    assert one[1].spearman.second.value == pytest.approx(theirs.statistic)


def test_words_in_common_with_the_reference() -> None:
    scores = judge(n=60, noise=40)
    words = ["red", "green", "blue", "grey", "pink"]
    answers = [
        replace(
            a,
            response=" ".join(words[: 1 + int(a.rating or 0) // 2] + ["x"] * 6),
            reference=" ".join(words),
        )
        for a in scores.answers
    ]
    ((_, cosine),) = found(Scores("one", "one.jsonl", "one", answers))
    assert cosine.spearman is not None and (cosine.spearman.second.value or 0) > 0.9
    assert cosine.beaten == "no"
