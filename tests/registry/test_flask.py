"""FLASK's questions are joined with each model's answers."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import flask


def question(number: int, **changes: Any) -> dict[str, Any]:
    """A line of the evaluation set."""
    texts = {"instruction": f"Question {number}?\n", "answer": f"Gold {number}"}
    return {"idx": number, "task": "Koala"} | texts | changes


def answer(number: int, text: str) -> dict[str, Any]:
    """A line of a model's file."""
    return {"question_id": number, "text": text}


def test_answers_are_joined_by_number(upstream: Any) -> None:
    """Not by position; what is unanswered, empty or a repeat is left out; nothing is rated."""
    asked = [question(1), question(2), question(3), question(4, instruction="Question 1?")]
    files = [
        upstream("flask.jsonl", *asked),
        upstream("outputs/tiny.jsonl", answer(2, " Two"), answer(1, "One")),
        upstream("outputs/big.jsonl", answer(1, "1"), answer(4, "1"), answer(2, " ")),
    ]
    rows = list(flask.responses(files))
    assert [(row["model"], row["instruction"], row["response"]) for row in rows] == [
        ("tiny", "Question 1?", "One"),
        ("big", "Question 1?", "1"),
        ("tiny", "Question 2?", "Two"),
    ]
    assert (rows[2]["reference"], rows[2]["category"]) == ("Gold 2", "Koala")
    empty = ["rating", "rating_min", "rating_max", "rater"]
    assert all(row[name] is None for row in rows for name in empty)


def test_the_same_words_of_two_models_are_two_rows(upstream: Any) -> None:
    """The model is part of the id."""
    files = [upstream("flask.jsonl", question(1))]
    files += [upstream(f"{name}.jsonl", answer(1, "One")) for name in ("a", "b")]
    assert len({row["id"] for row in flask.responses(files)}) == 2


def test_another_layout_is_refused(upstream: Any) -> None:
    """A question without a gold answer, an answer without a text."""
    bad = question(2)
    del bad["answer"]
    asked = upstream("flask.jsonl", question(1), bad)
    given = upstream("tiny.jsonl", answer(1, "One"), answer(2, "Two"))
    with pytest.raises(DataError, match=r"flask\.jsonl, line 2, field 'answer'"):
        list(flask.responses([asked, given]))
    given = upstream("tiny.jsonl", answer(1, "One"), {"question_id": 2})
    with pytest.raises(DataError, match=r"tiny\.jsonl, line 2, field 'text'"):
        list(flask.responses([asked, given]))
