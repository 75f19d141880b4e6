"""PandaLM's test set becomes labelled pairs."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import pandalm

ROW = {
    "idx": 0,
    "motivation_app": "Maps",
    "instruction": "Name the capital.",
    "input": "France",
    "response1": "Paris",
    "response2": "Lyon",
    "annotator1": 1,
    "annotator2": 1,
    "annotator3": 0,
}


def converted(upstream: Any, *rows: dict[str, Any]) -> list[Any]:
    return list(pandalm.pairs([upstream("testset.json", rows)]))


def test_the_label_is_what_two_of_three_chose(upstream: Any) -> None:
    votes = [(1, 1, 0), (2, 1, 2), (0, 2, 0), (0, 1, 2)]
    rows = [
        ROW | {"input": str(k)} | {f"annotator{n}": v for n, v in enumerate(three, 1)}
        for k, three in enumerate(votes)
    ]
    # Where all three differ there is no label, so no row.
    assert [row["label"] for row in converted(upstream, *rows)] == ["A", "B", "tie"]


def test_the_input_is_part_of_the_instruction(upstream: Any) -> None:
    with_input, without = converted(upstream, ROW, ROW | {"input": " "})
    assert with_input["instruction"] == "Name the capital.\n\nFrance"
    assert without["instruction"] == "Name the capital."
    assert (with_input["category"], with_input["source"]) == ("Maps", "pandalm")


def test_an_answer_that_upstream_turned_into_a_truth_value_is_left_out(upstream: Any) -> None:
    rows = converted(upstream, ROW | {"response1": True}, ROW)
    assert [row["response_a"] for row in rows] == ["Paris"]


@pytest.mark.parametrize("name", ["instruction", "input", "response2", "annotator3"])
def test_a_missing_field_is_named(upstream: Any, name: str) -> None:
    broken = {key: value for key, value in ROW.items() if key != name}
    with pytest.raises(DataError, match=rf"testset\.json, row 2, field '{name}'"):
        converted(upstream, ROW, broken)


def test_an_unknown_choice_is_refused(upstream: Any) -> None:
    with pytest.raises(DataError, match="row 1, field 'annotator2': expected 0, 1 or 2, got 4"):
        converted(upstream, ROW | {"annotator2": 4})
