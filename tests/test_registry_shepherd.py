"""Shepherd's answers, with the number that the annotator's choice begins with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import shepherd
from selfj_eval.registry.upstream import UpstreamFile


def upstream(folder: Path, path: str, *rows: object) -> UpstreamFile:
    """A file of one object a line."""
    local = folder / path.replace("/", "-")
    local.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return UpstreamFile("someone/set", "a" * 40, path, local)


def answer(choice: str, **changes: Any) -> dict[str, Any]:
    """A line of upstream."""
    relevance = {"categories": [{"confidence": 100, "name": choice}]}
    texts = {"context": "2 + 2?", "output_correct": "4\n", "output_candidate": "It is 5.\n\n"}
    label = {"jsonResponse": {"CLASSIFICATION_JOB_1": relevance}}
    return {"dataset": "sums", "latestLabel": label, "metadata": texts} | changes


def test_choices_are_numbers(tmp_path: Path) -> None:
    """The candidate is rated; the correct output is the reference."""
    other = answer("1_NOT_AT_ALL_0")
    other["metadata"]["output_candidate"] = "Fish."
    file = upstream(tmp_path, "raw.jsonl", answer("2_NOT_VERY"), other)
    first, second = shepherd.human([file])
    assert (first["instruction"], first["response"]) == ("2 + 2?", "It is 5.")
    assert (first["reference"], first["category"], first["rater"]) == ("4", "sums", "human")
    assert (first["rating"], second["rating"]) == (2.0, 1.0)


def test_another_layout_is_refused(tmp_path: Path) -> None:
    """No choice, a choice without a number, no reference."""
    none = answer("")
    none["latestLabel"]["jsonResponse"]["CLASSIFICATION_JOB_1"]["categories"] = []
    with pytest.raises(DataError, match=r"raw\.jsonl, line 2, field '.*CLASSIFICATION_JOB_1"):
        list(shepherd.human([upstream(tmp_path, "raw.jsonl", answer("3_SOME"), none)]))
    with pytest.raises(DataError, match=r"line 1, field 'CLASSIFICATION_JOB_1': .*'RELEVANT'"):
        list(shepherd.human([upstream(tmp_path, "raw.jsonl", answer("RELEVANT"))]))
    texts = {"context": "2 + 2?", "output_candidate": "5"}
    with pytest.raises(DataError, match=r"line 1, field 'metadata\.output_correct'"):
        list(shepherd.human([upstream(tmp_path, "raw.jsonl", answer("3_SOME", metadata=texts))]))
