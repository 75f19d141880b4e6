"""Cherry LLM's reviews become rated answers of two models."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import cherry
from selfj_eval.registry.upstream import UpstreamFile

REVIEW = {
    "Answer1": "An oak.",
    "Answer2": "A rose.",
    "review": "9 4\nFine.",
    "scores": "[9.0, 4.0]",
    "scores_reverse": "[6.0, 8.0]",
}


@pytest.fixture
def known(upstream: Any) -> list[UpstreamFile]:
    """Self-Instruct's tasks, the Vicuna questions, GPT-4's answers to these."""
    tasks = [("Shorten this.", "A long text."), ("Name a river.", "")]
    lines = [
        {"instruction": instruction, "instances": [{"input": text, "output": "The Nile."}]}
        for instruction, text in tasks
    ]
    question = {"question_id": 7, "text": "Name a tree.", "category": "generic"}
    answer = {"answer_id": "a", "question_id": 7, "model_id": "gpt-4:1", "text": "Oak, or elm."}
    return [
        upstream("tasks.jsonl", *lines),
        upstream("question.jsonl", question),
        upstream("answer.jsonl", answer),
    ]


def reviews(upstream: Any, name: str, *rows: dict[str, Any]) -> UpstreamFile:
    content = {"Meta_Info": {"dataset_name": name}, "data": list(rows)}
    return upstream(f"logs/{name}_wrap_reviews_gpt4.json", content)


def test_each_model_gets_the_mean_of_its_own_scores(
    upstream: Any, known: list[UpstreamFile]
) -> None:
    files = [*known, reviews(upstream, "vicuna", REVIEW | {"text": "Name a tree."})]
    rows = list(cherry.rated(files))
    # Answers changed places in the second review: its scores are the second model's first.
    assert [(row["model"], row["response"], row["rating"]) for row in rows] == [
        ("alpaca-7b-cherry-5pct", "An oak.", 8.5),
        ("alpaca-7b", "A rose.", 5.0),
    ]
    assert {(row["reference"], row["category"]) for row in rows} == {("Oak, or elm.", "vicuna")}


def test_tasks_whose_input_the_judge_did_not_see_are_left_out(
    upstream: Any, known: list[UpstreamFile]
) -> None:
    tasks = [REVIEW | {"instruction": text} for text in ("Shorten this.", "Name a river.")]
    rows = list(cherry.rated([*known, reviews(upstream, "sinstruct", *tasks)]))
    assert {(row["instruction"], row["reference"]) for row in rows} == {
        ("Name a river.", "The Nile.")
    }


def test_the_other_sets_have_no_reference(upstream: Any, known: list[UpstreamFile]) -> None:
    names = {"koala": "prompt", "lima": "conversations", "wizardlm": "Instruction"}
    files = [reviews(upstream, n, REVIEW | {key: f"{n}?"}) for n, key in names.items()]
    rows = list(cherry.rated([*known, *files]))
    assert [row["category"] for row in rows] == ["koala"] * 2 + ["lima"] * 2 + ["wizardlm"] * 2
    assert {row["reference"] for row in rows} == {None}


def test_a_review_without_scores_rates_nothing(upstream: Any, known: list[UpstreamFile]) -> None:
    row = REVIEW | {"prompt": "Name a tree.", "scores": "[-1, -1]"}
    rows = list(cherry.rated([*known, reviews(upstream, "koala", row)]))
    assert [row["rating"] for row in rows] == [8.0, 6.0]


@pytest.mark.parametrize("name", ["text", "Answer2", "scores_reverse"])
def test_a_missing_field_is_named(upstream: Any, known: list[UpstreamFile], name: str) -> None:
    row = REVIEW | {"text": "Name a tree."}
    broken = {key: value for key, value in row.items() if key != name}
    where = rf"vicuna_wrap_reviews_gpt4\.json, row 2, field '{name}'"
    with pytest.raises(DataError, match=where):
        list(cherry.rated([*known, reviews(upstream, "vicuna", row, broken)]))


def test_tasks_in_another_order_are_refused(upstream: Any, known: list[UpstreamFile]) -> None:
    row = REVIEW | {"instruction": "Name a river."}
    with pytest.raises(DataError, match=r"row 1, field 'instruction': is not task 1 of .*tasks"):
        list(cherry.rated([*known, reviews(upstream, "sinstruct", row)]))


def test_scores_that_are_no_pair_are_refused(upstream: Any, known: list[UpstreamFile]) -> None:
    row = REVIEW | {"prompt": "Name a tree.", "scores": "9 and 4"}
    with pytest.raises(DataError, match="row 1, field 'scores': expected a text with two scores"):
        list(cherry.rated([*known, reviews(upstream, "koala", row)]))
