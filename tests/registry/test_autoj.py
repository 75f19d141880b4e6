"""Auto-J's two files of training data are joined by row; its test pairs have ties."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import autoj


def training(**changes: Any) -> dict[str, Any]:
    """A training prompt with its rating."""
    prompt = "[Query]: Name a river.\n[Response]: The Rhine. "
    return {"usrmsg": prompt, "pred_score": 7.0, "scenario": "open_question"} | changes


def critique(prompt: str = "Name a river.", response: str = "The Rhine. ") -> dict[str, Any]:
    """The critique of the same answer."""
    return {"output": "Short.", "meta": {"prompt": prompt, "response": response}}


def pair(**changes: Any) -> dict[str, Any]:
    """A line of the test set."""
    texts = {"prompt": "Name a river.", "response 1": "The Po.", "response 2": "No."}
    return {"scenario": "open_question", "label": 0} | texts | changes


def test_texts_come_from_the_critique_and_the_rating_from_the_training_data(upstream: Any) -> None:
    """The prompt of the training data holds both texts, but not apart."""
    files = [upstream("train", training()), upstream("critiques", critique())]
    (row,) = autoj.single_train(files)
    assert (row["instruction"], row["response"]) == ("Name a river.", "The Rhine.")
    assert (row["rating"], row["rating_min"], row["rating_max"]) == (7.0, 1.0, 10.0)
    assert (row["category"], row["rater"], row["reference"]) == ("open_question", "gpt-4", None)


def test_rows_that_do_not_belong_together_are_refused(upstream: Any) -> None:
    """Another answer in the second file, or another number of rows."""
    train = upstream("train", training(), training())
    other = upstream("critiques", critique(), critique(response="The Elbe."))
    with pytest.raises(DataError, match=r"critiques, line 2, field 'meta'.*train"):
        list(autoj.single_train([train, other]))
    with pytest.raises(DataError, match=r"has 1 rows, .*train has 2"):
        list(autoj.single_train([train, upstream("critiques", critique())]))


def test_labels_are_sides_or_ties(upstream: Any) -> None:
    """In the numbers of upstream."""
    lines = [pair(), pair(label=1, prompt="And one more?"), pair(label=2, prompt="And another?")]
    rows = list(autoj.pairs([upstream("pairs", *lines)]))
    assert [row["label"] for row in rows] == ["A", "B", "tie"]
    assert (rows[0]["response_a"], rows[0]["response_b"]) == ("The Po.", "No.")
    assert (rows[0]["rater"], rows[0]["category"]) == ("human", "open_question")


def test_another_layout_is_refused_by_file_place_and_field(upstream: Any) -> None:
    """A field that is missing, a label that is none, a prompt that is not a text."""
    bad = pair()
    del bad["response 2"]
    with pytest.raises(DataError, match=r"pairs, line 2, field 'response 2'"):
        list(autoj.pairs([upstream("pairs", pair(), bad)]))
    with pytest.raises(DataError, match=r"pairs, line 1, field 'label': .*3"):
        list(autoj.pairs([upstream("pairs", pair(label=3))]))
    files = [upstream("train", training()), upstream("critiques", {"meta": 1})]
    with pytest.raises(
        DataError, match=r"critiques, line 1, field 'meta': expected an object, got int"
    ):
        list(autoj.single_train(files))
