"""LLMBar's evaluations become rated outputs and labelled pairs."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import llmbar

PAIR = {"input": "Name a tree.", "output_1": "An oak.", "output_2": " A rose. ", "label": 1}
SCORES = {"score_1": ["9", "stop"], "score_2": ["2", "stop"], "swap = False": {"winner": "1"}}
RATED = PAIR | {"results": [["Oak, or elm.", "stop"], SCORES]}


@pytest.fixture
def file(upstream: Any) -> Any:
    def file(*rows: dict[str, Any], path: str = "Adversarial/Manual") -> Any:
        return upstream(f"Dataset/LLMBar/{path}/evaluators/GPT-4/Rating/result.json", rows)

    return file


def test_both_outputs_are_rated_with_what_gpt_4_saw(file: Any) -> None:
    first, second = llmbar.rated_with_reference([file(RATED)])
    # Of the texts alone: it stays when upstream puts its rows into another order.
    content = b"llmbar_gpt4\x1fName a tree.\x1fAn oak.\x1fgpt-4"
    assert first["id"] == f"llmbar_gpt4-{hashlib.sha1(content).hexdigest()[:12]}"
    assert {**first, "id": None} == {
        "id": None,
        "source": "llmbar_gpt4",
        "category": "Manual",
        "instruction": "Name a tree.",
        "response": "An oak.",
        "reference": "Oak, or elm.",
        "model": None,
        "rating": 9.0,
        "rating_min": 0.0,
        "rating_max": 9.0,
        "rater": "gpt-4",
    }
    assert (second["response"], second["rating"]) == ("A rose.", 2.0)


def test_a_filtered_reference_is_none_and_a_refused_score_no_row(file: Any) -> None:
    row = copy.deepcopy(RATED)
    row["results"][0] = ["", "content_filter"]
    row["results"][1]["score_1"] = ["", "content_filter"]
    (rated,) = llmbar.rated_with_reference([file(row)])
    assert (rated["response"], rated["reference"]) == ("A rose.", None)


def test_without_reference_the_scores_come_first(file: Any) -> None:
    rows = list(llmbar.rated_without_reference([file(PAIR | {"results": [SCORES]})]))
    assert [row["rating"] for row in rows] == [9.0, 2.0]
    assert {row["reference"] for row in rows} == {None}


def test_pairs_carry_label_subset_and_reference(file: Any) -> None:
    other = RATED | {"input": "Name a flower.", "label": 2}
    files = [file(RATED), file(other, path="Natural")]
    rows = list(llmbar.pairs(files))
    assert [(r["label"], r["category"], r["response_b"]) for r in rows] == [
        ("A", "Manual", "A rose."),
        ("B", "Natural", "A rose."),
    ]
    assert [r["reference"] for r in rows] == ["Oak, or elm."] * 2


def test_processed_pairs_take_the_reference_after_the_metrics(file: Any) -> None:
    steps = [["Is it a tree?", "stop"], ["Oak, or elm.", "stop"], {"winner": "1"}]
    (row,) = llmbar.processed_pairs([file(PAIR | {"results": steps}, path="Processed/MT-Bench")])
    assert (row["reference"], row["category"]) == ("Oak, or elm.", "MT-Bench")


@pytest.mark.parametrize("name", ["input", "output_2", "results"])
def test_a_missing_field_is_named(file: Any, name: str) -> None:
    broken = {key: value for key, value in RATED.items() if key != name}
    with pytest.raises(DataError, match=r"LLMBar/.*result\.json, row 2, field '" + name):
        list(llmbar.rated_with_reference([file(RATED, broken)]))


def test_other_layouts_are_refused(file: Any) -> None:
    with pytest.raises(DataError, match=r"row 1, field 'results\.1\.score_1'"):
        list(llmbar.rated_with_reference([file(PAIR | {"results": [["a", "stop"], {}]})]))
    with pytest.raises(DataError, match="row 1, field 'label': expected 1 or 2, got 3"):
        list(llmbar.pairs([file(RATED | {"label": 3})]))
