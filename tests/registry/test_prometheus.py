"""Prometheus' prompts are cut into rated answers and rubrics."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import prometheus

FILE = "eval/vicuna_eval.json"
RUBRIC = "[Is it short?]\nScore 1: No.\n\nScore 5: Yes."


def item(response: str, **changes: Any) -> dict[str, Any]:
    """A member of upstream's list."""
    return {
        "idx": 1,
        "response_source": "wizard",
        "category": "generic",
        "instruction": "###Task Description:\nRate it.\n\n"
        "###The instruction to evaluate:\nName a river.\n\n"
        f"###Response to evaluate:\n{response}\n\n"
        "###Reference Answer (Score 5):\nThe Elbe.\n\n"
        f"###Score Rubrics:\n{RUBRIC}\n\n###Feedback: ",
        "gpt4_score": [3, 4, 4],
    } | changes


def test_answers_and_rubrics_share_ids(upstream: Any) -> None:
    """The rating is the mean of three; a rubric is found by the id of its answer."""
    rated = [item("The Rhine.\n\nOr the Po."), item("", idx=2), item("None.")]
    files = [upstream(FILE, rated)]
    rows = list(prometheus.vicuna(files))
    assert [row["response"] for row in rows] == ["The Rhine.\n\nOr the Po.", "None."]
    first = rows[0]
    assert (first["instruction"], first["reference"]) == ("Name a river.", "The Elbe.")
    assert (first["model"], first["category"]) == ("wizardlm-13b", "generic")
    assert first["rating"] == pytest.approx(11 / 3)
    assert (first["rating_min"], first["rating_max"]) == (1.0, 5.0)
    assert list(prometheus.rubrics(files)) == [
        {"id": row["id"], "source": "prometheus_vicuna", "rubric": RUBRIC} for row in rows
    ]


@pytest.mark.parametrize("name", ["response_source", "category", "instruction", "gpt4_score"])
def test_a_missing_field_is_named(upstream: Any, name: str) -> None:
    """With file and item."""
    bad = {key: value for key, value in item("The Po.").items() if key != name}
    with pytest.raises(DataError, match=r"vicuna_eval\.json, row 2, .*missing") as caught:
        list(prometheus.vicuna([upstream(FILE, [item("The Rhine."), bad])]))
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"instruction": "Rate this: The Po."}, "instruction"), ({"gpt4_score": []}, "gpt4_score")],
)
def test_an_unknown_layout_is_refused(upstream: Any, changes: dict[str, Any], name: str) -> None:
    """Another prompt, or no scores."""
    with pytest.raises(DataError) as caught:
        list(prometheus.rubrics([upstream(FILE, [item("The Po.", **changes)])]))
    assert (caught.value.place, caught.value.field) == ("row 1", name)
