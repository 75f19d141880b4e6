"""Shepherd's answers, with the number that the annotator's choice begins with."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import shepherd


def answer(choice: str, **changes: Any) -> dict[str, Any]:
    """A line of upstream."""
    relevance = {"categories": [{"confidence": 100, "name": choice}]}
    texts = {"context": "2 + 2?", "output_correct": "4\n", "output_candidate": "It is 5.\n\n"}
    label = {"jsonResponse": {"CLASSIFICATION_JOB_1": relevance}}
    return {"dataset": "sums", "latestLabel": label, "metadata": texts} | changes


def test_choices_are_numbers(upstream: Any) -> None:
    """The candidate is rated; the correct output is the reference."""
    other = answer("1_NOT_AT_ALL_0")
    other["metadata"]["output_candidate"] = "Fish."
    file = upstream("raw.jsonl", answer("2_NOT_VERY"), other)
    first, second = shepherd.human([file])
    assert (first["instruction"], first["response"]) == ("2 + 2?", "It is 5.")
    assert (first["reference"], first["category"], first["rater"]) == ("4", "sums", "human")
    assert (first["rating"], second["rating"]) == (2.0, 1.0)


def test_another_layout_is_refused(upstream: Any) -> None:
    """No choice, a choice without a number, no reference."""
    none = answer("")
    none["latestLabel"]["jsonResponse"]["CLASSIFICATION_JOB_1"]["categories"] = []
    with pytest.raises(DataError, match=r"raw\.jsonl, line 2, field '.*CLASSIFICATION_JOB_1"):
        list(shepherd.human([upstream("raw.jsonl", answer("3_SOME"), none)]))
    with pytest.raises(DataError, match=r"line 1, field 'CLASSIFICATION_JOB_1': .*'RELEVANT'"):
        list(shepherd.human([upstream("raw.jsonl", answer("RELEVANT"))]))
    texts = {"context": "2 + 2?", "output_candidate": "5"}
    with pytest.raises(DataError, match=r"line 1, field 'metadata\.output_correct'"):
        list(shepherd.human([upstream("raw.jsonl", answer("3_SOME", metadata=texts))]))
