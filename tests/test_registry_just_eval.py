"""Just-Eval's five aspects become one rating."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import just_eval
from selfj_eval.registry.upstream import UpstreamFile


def upstream(folder: Path, path: str, content: object) -> UpstreamFile:
    """A file of one JSON document."""
    local = folder / path.replace("/", "-")
    local.write_text(json.dumps(content), encoding="utf-8")
    return UpstreamFile("someone/set", "a" * 40, path, local)


def item(*scores: str, **changes: Any) -> dict[str, Any]:
    """A member of upstream's list."""
    names = ["helpfulness", "clarity", "factuality", "depth", "engagement"]
    scored = zip(names, scores, strict=False)  # Fewer scores: aspects that are missing.
    given = {name: {"reason": "So.", "score": score} for name, score in scored}
    texts = {"input": "Name a river.", "output_cand": "The Rhine."}
    return texts | {"generator_cand": "runs//model-1.5.json", "parsed_result": given} | changes


def test_the_rating_is_the_mean_of_five(tmp_path: Path) -> None:
    """Over several files; an answer without a score in some aspect has no rating."""
    unrated = item("5", "5", "N/A", "5", "5", input="Hello?")
    files = [
        upstream(tmp_path, "0-100.json", [item("5", "4", "3", "3", "3"), unrated]),
        upstream(tmp_path, "100-200.json", [item("1", "1", "1", "1", "2", output_cand="Me.")]),
    ]
    rows = list(just_eval.general(files))
    assert [row["rating"] for row in rows] == pytest.approx([3.6, 1.2])
    assert [row["response"] for row in rows] == ["The Rhine.", "Me."]
    assert (rows[0]["model"], rows[0]["rater"]) == ("model-1.5", "gpt-4-1106-preview")


def test_a_missing_aspect_is_named(tmp_path: Path) -> None:
    """With file, row and field."""
    content = [item("1", "1", "1", "1", "1"), item("5", "4", "3", "3")]
    with pytest.raises(DataError, match=r"0\.json, row 2, field 'parsed_result\.engagement'"):
        list(just_eval.general([upstream(tmp_path, "0.json", content)]))
