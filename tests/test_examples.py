"""The examples, whole: what the documentation says of them is reached again (``-m slow``)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfj_eval.demo import JUDGE_DIR

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.slow


def run(name: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments], cwd=folder, capture_output=True,
        text=True, check=False, env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def correlations(card: str) -> list[float]:
    """Spearman and Pearson, with reference and without."""
    rows = re.findall(r"^\| (?:with reference|without) \| (0\.\d+) \| (0\.\d+) \|", card, re.M)
    assert len(rows) == 2
    return [float(number) for row in rows for number in row]


def test_the_demo_judge_can_be_made_again(tmp_path: Path) -> None:
    """To 0.05 of the numbers on its model card; three seeds stayed within 0.04 of them."""
    run("train_demo_judge.py", tmp_path, "--output", "judge")
    again = correlations((tmp_path / "judge" / "README.md").read_text(encoding="utf-8"))
    card = correlations((JUDGE_DIR / "README.md").read_text(encoding="utf-8"))
    assert all(a > c - 0.05 for a, c in zip(again, card, strict=True)), (again, card)


def test_the_whole_circle_in_ten_minutes(tmp_path: Path, minilm: Path) -> None:
    """Tuned, it answers, evaluates itself, and the judge that learned from that is no worse."""
    start = time.monotonic()
    run("self_j_circle.py", tmp_path, "--output", "circle", "--embedder", str(minilm))
    assert time.monotonic() - start < 600
    circle = tmp_path / "circle"
    report = json.loads((circle / "report.json").read_text())
    for prompt, judge in report["the judge"].items():
        assert judge > 0.55
        assert judge > report["the model itself"][prompt] - 0.03
    labels = [json.loads(line)["output"] for line in (circle / "pairs.ref.jsonl").open()]
    assert len(labels) > 1000 and set(labels) == set("0123456789")
    about = json.loads((circle / "judge" / "training.json").read_text())
    assert about["metrics"]["teacher_spearman"] > 0.4
    assert about["metrics"]["student_spearman"] > 0.4
