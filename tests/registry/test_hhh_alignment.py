"""Chosen and rejected answers become pairs in an order that does not tell the label."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import hhh_alignment


def prompt(instruction: str, response: str) -> str:
    """What a judge was given."""
    return (
        "###Task Description:\nRate.\n\n"
        f"###The instruction to evaluate:\n{instruction}\n\n"
        f"###Response to evaluate:\n{response}\n\n"
        "###Score Rubrics:\n[Is it kind?]\nScore 1: No.\n\n###Feedback: "
    )


def item(instruction: str, chosen: str, rejected: str) -> dict[str, Any]:
    """A member of upstream's list."""
    return {
        "source": "helpful",
        "chosen_instruction": prompt(instruction, chosen),
        "rejected_instruction": prompt(instruction, rejected),
    }


def test_the_label_is_where_the_chosen_answer_is(upstream: Any) -> None:
    """On both sides about as often, and the same with every run."""
    content = [item(f"Task {n}?\n\nAssistant: Yes?", f"Yes {n}.", "No.") for n in range(200)]
    rows = list(hhh_alignment.human([upstream("hhh.json", content)]))
    sides = {"A": "response_a", "B": "response_b"}
    assert [row[sides[row["label"]]] for row in rows] == [f"Yes {n}." for n in range(200)]
    assert {row["response_a"] for row in rows if row["label"] == "B"} == {"No."}
    assert 70 < sum(row["label"] == "A" for row in rows) < 130
    assert rows[3]["instruction"] == "Task 3?\n\nAssistant: Yes?"
    assert (rows[3]["category"], rows[3]["rater"]) == ("helpful", "human")
    assert rows == list(hhh_alignment.human([upstream("hhh.json", content)]))


def test_another_layout_is_refused(upstream: Any) -> None:
    """A missing prompt, a text that is none, prompts of two instructions."""
    bad = item("Help?", "Yes.", "No.")
    del bad["rejected_instruction"]
    with pytest.raises(DataError, match=r"hhh\.json, row 2, field 'rejected_instruction'"):
        content = [item("Help?", "Yes.", "No."), bad]
        list(hhh_alignment.human([upstream("hhh.json", content)]))
    bad["rejected_instruction"] = "Help? No."
    with pytest.raises(DataError, match=r"row 1, field 'rejected_instruction': .*judge's prompt"):
        list(hhh_alignment.human([upstream("hhh.json", [bad])]))
    bad["rejected_instruction"] = prompt("Why?", "No.")
    with pytest.raises(DataError, match=r"row 1, field 'rejected_instruction': .*instructions"):
        list(hhh_alignment.human([upstream("hhh.json", [bad])]))
