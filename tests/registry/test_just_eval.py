"""Just-Eval's five aspects become one rating."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import just_eval


def item(*scores: str, **changes: Any) -> dict[str, Any]:
    """A member of upstream's list."""
    names = ["helpfulness", "clarity", "factuality", "depth", "engagement"]
    scored = zip(names, scores, strict=False)  # Fewer scores: aspects that are missing.
    given = {name: {"reason": "So.", "score": score} for name, score in scored}
    texts = {"input": "Name a river.", "output_cand": "The Rhine."}
    return texts | {"generator_cand": "runs//model-1.5.json", "parsed_result": given} | changes


def test_the_rating_is_the_mean_of_five(upstream: Any) -> None:
    """Over several files; an answer without a score in some aspect has no rating."""
    unrated = item("5", "5", "N/A", "5", "5", input="Hello?")
    files = [
        upstream("0-100.json", [item("5", "4", "3", "3", "3"), unrated]),
        upstream("100-200.json", [item("1", "1", "1", "1", "2", output_cand="Me.")]),
    ]
    rows = list(just_eval.general(files))
    assert [row["rating"] for row in rows] == pytest.approx([3.6, 1.2])
    assert [row["response"] for row in rows] == ["The Rhine.", "Me."]
    assert (rows[0]["model"], rows[0]["rater"]) == ("model-1.5", "gpt-4-1106-preview")


def test_a_missing_aspect_is_named(upstream: Any) -> None:
    """With file, row and field."""
    content = [item("1", "1", "1", "1", "1"), item("5", "4", "3", "3")]
    with pytest.raises(DataError, match=r"0\.json, row 2, field 'parsed_result\.engagement'"):
        list(just_eval.general([upstream("0.json", content)]))
