"""What the tests of the correlation table share."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def rated(jsonl: Callable[..., Path]) -> Path:
    """Two models with 40 answers each, and one with three."""
    draw = random.Random(5)
    rows = []
    for k in range(40):
        for model in ("b_model", "A model", *(["few"] if k < 3 else [])):
            rating = draw.randint(1, 10)
            words = " ".join(draw.choices(["word", "other"], k=rating + draw.randint(0, 8)))
            row = {"id": f"{k}-{model}", "instruction": f"Question {k}?", "response": words}
            row |= {"reference": "word other", "rating": rating, "rating_min": 1}
            rows.append(row | {"rating_max": 10, "model": model})
    rows.append({"id": "u", "instruction": "Q", "response": "R", "model": "few"})
    return jsonl(*rows, name="rated.jsonl")
