"""Which answers are bad?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import worst
from selfj_eval.errors import DataError

ROWS: list[dict[str, Any]] = [
    {"id": "a", "score": 5.0, "response": "fine", "instruction": "1?", "model": "m"},
    {"id": "b", "score": 1.5, "response": "bad\n\x1b[31m" + "x" * 200, "instruction": "2?"},
    {"id": "c", "score": None, "error": "no answer", "instruction": "3?", "model": "m"},
    {"id": "d", "score": 2.0, "rating": 9, "rating_min": 1, "rating_max": 10, "model": "m"},
    {"id": "e", "score": 1.5, "rating": 2, "rating_min": 1, "rating_max": 3},
]


def test_the_lowest_come_first_rated_or_not(in_process: Any, jsonl: Callable[..., Path]) -> None:
    file = jsonl(*ROWS, name="scores.jsonl")
    done = in_process("selfj", "worst", file, "--n", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith("the 3 lowest of 4 answers by score; 1 unscored answer is skipped")
    assert "e: score 1.50, rating 2.00" in lines
    assert [line.split(":")[0] for line in lines if line.startswith(("a:", "b:", "d:", "e:"))] == [
        "b", "e", "d",
    ]  # fmt: skip
    assert "\x1b" not in done.stdout
    assert all(len(line) <= 130 for line in lines)
    listed = json.loads(in_process("selfj", "worst", file, "--json").stdout)["listed"]
    assert [row["id"] for row in listed] == ["b", "e", "d", "a"]
    assert listed[0]["response"] == ROWS[1]["response"]  # whole


def test_by_rating_on_one_scale_and_of_some_answers() -> None:
    assert [a.id for a in worst(ROWS, by="rating").listed] == ["e", "d"]  # 4.5 and 8 on 0 to 9
    text = str(worst(ROWS, by="rating")).splitlines()
    assert text[0].endswith("the 2 lowest of 2 answers by rating; 3 unrated answers are skipped")
    assert "e: score 1.50, rating 4.50 of 9" in text
    assert "d: score 2.00, rating 8.00 of 9, m" in text
    bare = [{"id": "a", "score": 1.0, "rating": 60}]  # on no known scale
    assert str(worst(bare, by="rating")).splitlines() == [
        "scores in memory: the lowest of 1 answer by rating", "", "a: score 1.00, rating 60.00"
    ]  # fmt: skip
    assert [a.id for a in worst(ROWS, model="m").listed] == ["d", "a"]
    assert worst(ROWS, model="m").missing == 1
    with pytest.raises(DataError, match="no answer of model 'nobody' has a score"):
        worst(ROWS, model="nobody")
