"""Two models' answers, with scores that lie in files of their own."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import llms_from_scratch


def task(**changes: Any) -> dict[str, Any]:
    """A member of upstream's list."""
    texts = {"instruction": "Capitalize.", "input": "the rhine", "output": "The Rhine"}
    return texts | {"model 1 response": "\nThe Rhine", "model 2 response": "\nRHINE"} | changes


def rows(upstream: Any, tasks: object, *scores: object) -> list[Any]:
    """From the answers and each model's scores."""
    given = [upstream(f"model-{n}.json", values) for n, values in enumerate(scores, 1)]
    return list(llms_from_scratch.scored([upstream("answers.json", tasks), *given]))


def test_scores_belong_to_answers_by_position(upstream: Any) -> None:
    """The input is part of the instruction; the same answer of both models is one row."""
    same = task(instruction="Name a river.", input="", **{"model 2 response": "The Rhine"})
    first, second, third = rows(upstream, [task(), same], [100, 60], [10, 80])
    assert first["instruction"] == "Capitalize.\n\nthe rhine"
    assert (first["response"], first["reference"]) == ("The Rhine", "The Rhine")
    assert (first["model"], first["rating"], first["rating_max"]) == ("model-1", 100.0, 100.0)
    assert (second["model"], second["response"], second["rating"]) == ("model-2", "RHINE", 10.0)
    assert (third["instruction"], third["model"]) == ("Name a river.", "model-1")
    assert third["rating"] == 70.0


def test_another_layout_is_refused(upstream: Any) -> None:
    """Scores that are too few, an answer that is missing."""
    with pytest.raises(DataError, match=r"model-2\.json: has 1 scores, .*answers\.json has 2"):
        rows(upstream, [task(), task()], [1, 2], [1])
    bad = task()
    del bad["model 2 response"]
    with pytest.raises(DataError, match=r"answers\.json, row 2, field 'model 2 response'"):
        rows(upstream, [task(), bad], [1, 2], [1, 2])
