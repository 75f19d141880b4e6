"""JudgeBench's pairs, labelled by correctness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import judgebench
from selfj_eval.registry.upstream import UpstreamFile


def upstream(folder: Path, path: str, *rows: object) -> UpstreamFile:
    """A file of one object a line."""
    local = folder / path.replace("/", "-")
    local.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return UpstreamFile("someone/set", "a" * 40, path, local)


def pair(**changes: Any) -> dict[str, Any]:
    """A line of upstream."""
    texts = {"question": "2 + 2?", "response_A": "5", "response_B": "4 "}
    return texts | {"source": "sums", "label": "B>A"} | changes


def test_labels_are_sides(tmp_path: Path) -> None:
    """Over the files of several models."""
    files = [
        upstream(tmp_path, "one.jsonl", pair()),
        upstream(tmp_path, "two.jsonl", pair(label="A>B", response_A="Four")),
    ]
    first, second = judgebench.correctness(files)
    assert (first["instruction"], first["response_a"], first["response_b"]) == ("2 + 2?", "5", "4")
    assert (first["label"], second["label"]) == ("B", "A")
    assert (first["category"], first["rater"], first["reference"]) == ("sums", "ground-truth", None)


def test_another_layout_is_refused(tmp_path: Path) -> None:
    """A tie, which the set does not know; a missing answer."""
    with pytest.raises(DataError, match=r"one\.jsonl, line 2, field 'label': .*A=B"):
        file = upstream(tmp_path, "one.jsonl", pair(), pair(label="A=B"))
        list(judgebench.correctness([file]))
    bad = pair()
    del bad["response_B"]
    with pytest.raises(DataError, match=r"one\.jsonl, line 1, field 'response_B'"):
        list(judgebench.correctness([upstream(tmp_path, "one.jsonl", bad)]))
