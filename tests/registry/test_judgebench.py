"""JudgeBench's pairs, labelled by correctness."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import judgebench


def pair(**changes: Any) -> dict[str, Any]:
    """A line of upstream."""
    texts = {"question": "2 + 2?", "response_A": "5", "response_B": "4 "}
    return texts | {"source": "sums", "label": "B>A"} | changes


def test_labels_are_sides(upstream: Any) -> None:
    """Over the files of several models."""
    files = [
        upstream("one.jsonl", pair()),
        upstream("two.jsonl", pair(label="A>B", response_A="Four")),
    ]
    first, second = judgebench.correctness(files)
    assert (first["instruction"], first["response_a"], first["response_b"]) == ("2 + 2?", "5", "4")
    assert (first["label"], second["label"]) == ("B", "A")
    assert (first["category"], first["rater"], first["reference"]) == ("sums", "ground-truth", None)


def test_another_layout_is_refused(upstream: Any) -> None:
    """A tie, which the set does not know; a missing answer."""
    with pytest.raises(DataError, match=r"one\.jsonl, line 2, field 'label': .*A=B"):
        file = upstream("one.jsonl", pair(), pair(label="A=B"))
        list(judgebench.correctness([file]))
    bad = pair()
    del bad["response_B"]
    with pytest.raises(DataError, match=r"one\.jsonl, line 1, field 'response_B'"):
        list(judgebench.correctness([upstream("one.jsonl", bad)]))
