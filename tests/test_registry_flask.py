"""FLASK's questions are joined with each model's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import flask
from selfj_eval.registry.upstream import UpstreamFile


def upstream(folder: Path, path: str, *rows: object) -> UpstreamFile:
    """A file of one object a line."""
    local = folder / path.replace("/", "-")
    local.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return UpstreamFile("someone/set", "a" * 40, path, local)


def question(number: int, **changes: Any) -> dict[str, Any]:
    """A line of the evaluation set."""
    texts = {"instruction": f"Question {number}?\n", "answer": f"Gold {number}"}
    return {"idx": number, "task": "Koala"} | texts | changes


def answer(number: int, text: str) -> dict[str, Any]:
    """A line of a model's file."""
    return {"question_id": number, "text": text}


def test_answers_are_joined_by_number(tmp_path: Path) -> None:
    """Not by position; what is unanswered, empty or a repeat is left out; nothing is rated."""
    asked = [question(1), question(2), question(3), question(4, instruction="Question 1?")]
    files = [
        upstream(tmp_path, "flask.jsonl", *asked),
        upstream(tmp_path, "outputs/tiny.jsonl", answer(2, " Two"), answer(1, "One")),
        upstream(tmp_path, "outputs/big.jsonl", answer(1, "1"), answer(4, "1"), answer(2, " ")),
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


def test_the_same_words_of_two_models_are_two_rows(tmp_path: Path) -> None:
    """The model is part of the id."""
    files = [upstream(tmp_path, "flask.jsonl", question(1))]
    files += [upstream(tmp_path, f"{name}.jsonl", answer(1, "One")) for name in ("a", "b")]
    assert len({row["id"] for row in flask.responses(files)}) == 2


def test_another_layout_is_refused(tmp_path: Path) -> None:
    """A question without a gold answer, an answer without a text."""
    bad = question(2)
    del bad["answer"]
    asked = upstream(tmp_path, "flask.jsonl", question(1), bad)
    given = upstream(tmp_path, "tiny.jsonl", answer(1, "One"), answer(2, "Two"))
    with pytest.raises(DataError, match=r"flask\.jsonl, line 2, field 'answer'"):
        list(flask.responses([asked, given]))
    given = upstream(tmp_path, "tiny.jsonl", answer(1, "One"), {"question_id": 2})
    with pytest.raises(DataError, match=r"tiny\.jsonl, line 2, field 'text'"):
        list(flask.responses([asked, given]))
