"""PandaLM's test set becomes labelled pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import pandalm
from selfj_eval.registry.upstream import UpstreamFile

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


def converted(folder: Path, *rows: dict[str, Any]) -> list[Any]:
    local = folder / "testset.json"
    local.write_text(json.dumps(rows), encoding="utf-8")
    return list(pandalm.pairs([UpstreamFile("someone/panda", "c" * 40, "testset.json", local)]))


def test_the_label_is_what_two_of_three_chose(tmp_path: Path) -> None:
    votes = [(1, 1, 0), (2, 1, 2), (0, 2, 0), (0, 1, 2)]
    rows = [
        ROW | {"input": str(k)} | {f"annotator{n}": v for n, v in enumerate(three, 1)}
        for k, three in enumerate(votes)
    ]
    # Where all three differ there is no label, so no row.
    assert [row["label"] for row in converted(tmp_path, *rows)] == ["A", "B", "tie"]


def test_the_input_is_part_of_the_instruction(tmp_path: Path) -> None:
    with_input, without = converted(tmp_path, ROW, ROW | {"input": " "})
    assert with_input["instruction"] == "Name the capital.\n\nFrance"
    assert without["instruction"] == "Name the capital."
    assert (with_input["category"], with_input["source"]) == ("Maps", "pandalm")


def test_an_answer_that_upstream_turned_into_a_truth_value_is_left_out(tmp_path: Path) -> None:
    rows = converted(tmp_path, ROW | {"response1": True}, ROW)
    assert [row["response_a"] for row in rows] == ["Paris"]


@pytest.mark.parametrize("name", ["instruction", "input", "response2", "annotator3"])
def test_a_missing_field_is_named(tmp_path: Path, name: str) -> None:
    broken = {key: value for key, value in ROW.items() if key != name}
    with pytest.raises(DataError, match=rf"testset\.json, item 2, field '{name}'"):
        converted(tmp_path, ROW, broken)


def test_an_unknown_choice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="item 1, .*expected 0, 1 or 2, got 4"):
        converted(tmp_path, ROW | {"annotator2": 4})
