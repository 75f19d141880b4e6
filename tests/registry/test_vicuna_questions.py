"""Answers to the Vicuna questions, rated by GPT-4 side by side or judged by people."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import vicuna_questions


def question(number: int, text: str) -> dict[str, Any]:
    return {"question_id": number, "text": text, "category": "generic"}


def answer(model: str, number: int, text: str) -> dict[str, Any]:
    return {
        "answer_id": f"{model}{number}",
        "question_id": number,
        "model_id": f"{model}:v1",
        "text": text,
    }


def review(number: int, first: str, second: str, *scores: float) -> dict[str, Any]:
    return {
        "question_id": number,
        "answer1_id": f"{first}{number}",
        "answer2_id": f"{second}{number}",
        "score": list(scores),
    }


def blog(upstream: Any, *reviews: dict[str, Any]) -> list[Any]:
    files = [
        upstream("table/question.jsonl", question(1, "Name a tree."), question(2, "Name a river.")),
        upstream(
            "answer_gpt-4.jsonl", answer("gpt-4", 1, "Oak, or elm."), answer("gpt-4", 2, "Nile.")
        ),
        upstream("table/answer/small.jsonl", answer("small", 1, "Oak."), answer("small", 2, "Po.")),
        upstream("table/answer/large.jsonl", answer("large", 1, " An oak. ")),
        upstream("table/review/all.jsonl", *reviews),
    ]
    return list(vicuna_questions.blog(files))


def test_a_rating_is_the_mean_of_the_comparisons(upstream: Any) -> None:
    rows = blog(
        upstream,
        review(1, "small", "large", 6, 9),
        review(1, "large", "small", 8, 7),
        review(2, "small", "unpublished", 3, 10),
        review(2, "unpublished", "small", -1, -1),  # GPT-4 gave no two scores
    )
    assert [(r["instruction"], r["model"], r["response"], r["rating"]) for r in rows] == [
        ("Name a tree.", "small:v1", "Oak.", 6.5),
        ("Name a tree.", "large:v1", "An oak.", 8.5),
        ("Name a river.", "small:v1", "Po.", 3.0),
    ]
    assert [r["reference"] for r in rows] == ["Oak, or elm."] * 2 + ["Nile."]
    assert {(r["rating_min"], r["rating_max"], r["rater"]) for r in rows} == {(1.0, 10.0, "gpt-4")}


@pytest.mark.parametrize("name", ["question_id", "answer1_id", "answer2_id", "score"])
def test_a_missing_field_of_a_review_is_named(upstream: Any, name: str) -> None:
    good = review(1, "small", "large", 6, 9)
    broken = {key: value for key, value in good.items() if key != name}
    with pytest.raises(DataError, match=rf"review/all\.jsonl, line 2, field '{name}'"):
        blog(upstream, good, broken)


def test_reviews_of_another_layout_are_refused(upstream: Any) -> None:
    with pytest.raises(DataError, match="line 1, field 'score': expected two scores, got 1"):
        blog(upstream, review(1, "small", "large", 6))
    with pytest.raises(DataError, match="line 1, field 'question_id': question 9 is unknown"):
        blog(upstream, review(9, "small", "large", 6, 9))


def faireval(upstream: Any, verdicts: str, **changes: Any) -> list[Any]:
    numbers = (1, 2, 3)
    models = ("chatgpt", "vicuna", "gpt-4")
    answers = [
        upstream(f"{m}.jsonl", *(answer(m, n, f"{m} {n}") | changes for n in numbers))
        for m in models
    ]
    questions = upstream("question.jsonl", *(question(n, f"Question {n}?") for n in numbers))
    return list(vicuna_questions.faireval([questions, *answers, upstream("human.txt", verdicts)]))


def test_verdicts_belong_to_the_questions_in_their_order(upstream: Any) -> None:
    rows = faireval(upstream, "VICUNA13B\nTIE\nCHATGPT\n")
    assert [(r["instruction"], r["label"]) for r in rows] == [
        ("Question 1?", "B"),
        ("Question 2?", "tie"),
        ("Question 3?", "A"),
    ]
    second = rows[1]
    assert [second[name] for name in ("response_a", "response_b", "reference", "rater")] == [
        "chatgpt 2",
        "vicuna 2",
        "gpt-4 2",
        "human",
    ]


def test_verdicts_that_do_not_fit_are_refused(upstream: Any) -> None:
    with pytest.raises(DataError, match=r"human\.txt: expected 3 verdicts, .* got 2"):
        faireval(upstream, "TIE\nTIE\n")
    with pytest.raises(DataError, match=r"human\.txt, line 2: unknown verdict 'BARD'"):
        faireval(upstream, "TIE\nBARD\nTIE\n")
    with pytest.raises(DataError, match=r"chatgpt\.jsonl, line 1, field 'text': expected str"):
        faireval(upstream, "TIE\nTIE\nTIE\n", text=None)
