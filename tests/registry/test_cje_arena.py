"""Answers of causal judge evaluation, with the ratings of its stronger judge."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import cje_arena


def answer(**changes: Any) -> dict[str, Any]:
    """A line of a policy's file."""
    return {
        "prompt": "Name a river.",
        "response": "The Rhine.",
        "policy": "base",
        "model": "accounts/host/models/llama",
        "metadata": {"judge_score": 0.2, "oracle_label": 0.85},
    } | changes


def test_policies_are_models_and_failures_no_answers(upstream: Any) -> None:
    """The rating is not the weaker judge's; a line with an error is left out."""
    failed = answer(response=None, error="500", metadata={})
    del failed["model"]
    files = [
        upstream("base.jsonl", answer()),
        upstream("terse.jsonl", failed, answer(policy="terse", response="Po.")),
    ]
    rows = list(cje_arena.oracle(files))
    assert [row["model"] for row in rows] == ["llama:base", "llama:terse"]
    assert [row["response"] for row in rows] == ["The Rhine.", "Po."]
    assert (rows[0]["rating"], rows[0]["rating_min"], rows[0]["rating_max"]) == (0.85, 0.0, 1.0)


def test_a_missing_rating_is_named(upstream: Any) -> None:
    """With file, line and field."""
    file = upstream("base.jsonl", answer(), answer(metadata={"judge_score": 0.2}))
    with pytest.raises(DataError, match=r"base\.jsonl, line 2, field 'metadata\.oracle_label'"):
        list(cje_arena.oracle([file]))
