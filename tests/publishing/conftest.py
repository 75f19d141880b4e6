"""What the tests of exports share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROWS = [
    {
        "id": "1",
        "score": 7.25,
        "model": "a",
        "instruction": "How do I boil water with an electric kettle?",
        "response": "Fill the kettle, switch it on and wait until it clicks.",
        "reference": "Fill it, switch it on, wait for the click.",
    },
    {
        "id": "2",
        "score": 1.5,
        "model": "a",
        "instruction": "Add 4 and 9.",
        "response": "4 + 9 = 14",
        "reference": "13",
    },
    {"id": "3", "score": None, "error": "too long", "model": "a", "instruction": "Write."},
]


JUDGE = {
    "model": "owner/judge",
    "revision": None,
    "adapter": None,
    "template": "self-j",
    "reference": True,
    "identity": {"model": "ab" * 32, "adapter": "", "dtype": "float32"},
}


@pytest.fixture(scope="session")
def answers() -> list[dict[str, Any]]:
    """Scored answers, the last without a score."""
    return ROWS


@pytest.fixture(scope="session")
def read_ever() -> Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The document of an export to Every Eval Ever, and its lines of samples."""

    def read(written: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        document = json.loads(Path(written[-1]).read_text())
        lines = Path(written[0]).read_text().splitlines() if len(written) > 1 else []
        return document, [json.loads(line) for line in lines]

    return read


@pytest.fixture
def scores(jsonl: Callable[..., Path]) -> Callable[..., str]:
    """Write scores and their run file."""

    def write(rows: Any = ROWS, **judge: Any) -> str:
        path = jsonl(*rows, name="scores.jsonl")
        run = {
            "judge": JUDGE | judge,
            "made": "2026-01-01T00:00:00+00:00",
            "versions": {"selfj-eval": "0.2.0"},
        }
        Path(f"{path}.run.json").write_text(json.dumps(run))
        return str(path)

    return write
