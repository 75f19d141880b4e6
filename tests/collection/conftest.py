"""What the tests of runs and samples share."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest


def sentence(draw: random.Random) -> str:
    words = [f"{a}{b}" for a in ("plan", "gard", "riv", "mount") for b in ("er", "en", "ing", "s")]
    return f"How do I {' '.join(draw.choices(words, k=20))} in the {draw.randint(0, 10**9)}?"


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """Rows of three data sets, which feed four sources; with what each step has to drop."""
    draw = random.Random(3)
    folder = tmp_path / "downloads"
    ours = [sentence(draw) for _ in range(30)]
    near = ours[0].replace("How do I", "How can I")
    quora = [{"sentence1": ours[2 * k], "sentence2": ours[2 * k + 1]} for k in range(15)]
    quora += [
        {"sentence1": ours[3].upper(), "sentence2": near},  # exact and near duplicate
        {"sentence1": "ok?", "sentence2": "Wie kann ich im Garten am besten Tomaten anbauen?"},
        {"sentence1": "How do I write a Python function?", "sentence2": "What is a C++ pointer?"},
        {"sentence1": "Name three primary colours of light.", "sentence2": "\ufffd\ufffd broken ?"},
    ]
    mbpp = [{"text": f"Write a function to {sentence(draw)}"} for _ in range(8)]
    mbpp.append({"text": "What is a c++  pointer?"})  # of quora_coding, which comes earlier
    qasc = [{"question": sentence(draw)} for _ in range(5)]
    for name, rows in (("quora", quora), ("mbpp", mbpp), ("qasc", qasc)):
        (folder / name).mkdir(parents=True)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name / "part-0.jsonl").write_text(lines)
    return folder
