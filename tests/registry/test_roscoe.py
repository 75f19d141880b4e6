"""ROSCOE's tasks, solutions and chains are cut out of what the annotator saw."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import roscoe


def chain(context: str, response: str, rating: float = 4) -> dict[str, Any]:
    """An instance."""
    return {
        "instance": f"You will see a CONTEXT.\n\nCONTEXT:\n{context}\n\nGENERATED RESPONSE:\n"
        f"{response}\nJudge the generated response:\n",
        "annotations": {"Overall Quality": {"mean_human": rating}, "Coherency": {"mean_human": 1}},
    }


SUM = "Question: How many?\n\\Solution: 2 + 2 = <<2+2=4>>4.\nA: 4"
CLAIM = "Situation (Premise): It rains.\n\nClaim (Hypothesis): It is wet.\n\nIs it so?"


def rows(upstream: Any, name: str, *instances: object) -> list[Any]:
    """From one file."""
    file = upstream(f"data/roscoe-{name}-overall.json", {"instances": instances})
    return list(roscoe.human([file]))


def test_a_sum_has_its_solution_as_reference(upstream: Any) -> None:
    """Without the calculator's marks, which the chain keeps."""
    steps = "Step 1 - 2 + 2 = <<2+2=4>>4\nStep 2 - A: 4"
    (row,) = rows(upstream, "sums", chain(SUM, steps, 2))
    assert (row["instruction"], row["response"]) == ("How many?", steps)
    assert row["reference"] == "2 + 2 = 4.\nA: 4"
    assert (row["category"], row["rating"], row["rater"]) == ("sums", 2.0, "human")


def test_a_claim_has_its_label_as_reference(upstream: Any) -> None:
    """As a sentence; the task ends where the label stands."""
    context = CLAIM + "\n\nCorrect Relationship (Yes or No): no"
    (row,) = rows(upstream, "rain", chain(context, "Step 1 - Rain is wet."))
    assert (row["instruction"], row["response"]) == (CLAIM, "Step 1 - Rain is wet.")
    assert (row["reference"], row["category"]) == ("The answer is No.", "rain")


def test_another_layout_is_refused(upstream: Any) -> None:
    """No solution, no rating, no instances, another name."""
    with pytest.raises(DataError, match=r"overall\.json, row 2, field 'instance'"):
        rows(upstream, "sums", chain(SUM, "4"), chain("Question: How many?", "4"))
    unrated = chain(SUM, "4") | {"annotations": {"Overall Quality": {}}}
    with pytest.raises(DataError, match=r"row 1, field 'annotations\.Overall Quality\.mean_human'"):
        rows(upstream, "sums", unrated)
    file = upstream("data/roscoe-sums-overall.json", {"rows": []})
    with pytest.raises(DataError, match=r"roscoe-sums-overall\.json, field 'instances'"):
        list(roscoe.human([file]))
    with pytest.raises(DataError, match=r"sums\.json: is not named"):
        list(roscoe.human([upstream("data/sums.json", {"instances": []})]))
