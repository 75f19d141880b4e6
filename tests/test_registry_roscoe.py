"""ROSCOE's tasks, solutions and chains are cut out of what the annotator saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import roscoe
from selfj_eval.registry.upstream import UpstreamFile


def upstream(folder: Path, path: str, content: object) -> UpstreamFile:
    """A file of one JSON document."""
    local = folder / path.replace("/", "-")
    local.write_text(json.dumps(content), encoding="utf-8")
    return UpstreamFile("someone/set", "a" * 40, path, local)


def chain(context: str, response: str, rating: float = 4) -> dict[str, Any]:
    """An instance."""
    return {
        "instance": f"You will see a CONTEXT.\n\nCONTEXT:\n{context}\n\nGENERATED RESPONSE:\n"
        f"{response}\nJudge the generated response:\n",
        "annotations": {"Overall Quality": {"mean_human": rating}, "Coherency": {"mean_human": 1}},
    }


SUM = "Question: How many?\n\\Solution: 2 + 2 = <<2+2=4>>4.\nA: 4"
CLAIM = "Situation (Premise): It rains.\n\nClaim (Hypothesis): It is wet.\n\nIs it so?"


def rows(folder: Path, name: str, *instances: object) -> list[Any]:
    """From one file."""
    file = upstream(folder, f"data/roscoe-{name}-overall.json", {"instances": instances})
    return list(roscoe.human([file]))


def test_a_sum_has_its_solution_as_reference(tmp_path: Path) -> None:
    """Without the calculator's marks, which the chain keeps."""
    steps = "Step 1 - 2 + 2 = <<2+2=4>>4\nStep 2 - A: 4"
    (row,) = rows(tmp_path, "sums", chain(SUM, steps, 2))
    assert (row["instruction"], row["response"]) == ("How many?", steps)
    assert row["reference"] == "2 + 2 = 4.\nA: 4"
    assert (row["category"], row["rating"], row["rater"]) == ("sums", 2.0, "human")


def test_a_claim_has_its_label_as_reference(tmp_path: Path) -> None:
    """As a sentence; the task ends where the label stands."""
    context = CLAIM + "\n\nCorrect Relationship (Yes or No): no"
    (row,) = rows(tmp_path, "rain", chain(context, "Step 1 - Rain is wet."))
    assert (row["instruction"], row["response"]) == (CLAIM, "Step 1 - Rain is wet.")
    assert (row["reference"], row["category"]) == ("The answer is No.", "rain")


def test_another_layout_is_refused(tmp_path: Path) -> None:
    """No solution, no rating, no instances, another name."""
    with pytest.raises(DataError, match=r"overall\.json, row 2, field 'instance'"):
        rows(tmp_path, "sums", chain(SUM, "4"), chain("Question: How many?", "4"))
    unrated = chain(SUM, "4") | {"annotations": {"Overall Quality": {}}}
    with pytest.raises(DataError, match=r"row 1, field 'annotations\.Overall Quality\.mean_human'"):
        rows(tmp_path, "sums", unrated)
    file = upstream(tmp_path, "data/roscoe-sums-overall.json", {"rows": []})
    with pytest.raises(DataError, match=r"roscoe-sums-overall\.json, field 'instances'"):
        list(roscoe.human([file]))
    with pytest.raises(DataError, match=r"sums\.json: is not named"):
        list(roscoe.human([upstream(tmp_path, "data/sums.json", {"instances": []})]))
