"""``benchmarks/scale.py``: tokens and hours add up, and a killed worker costs no score."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scale.py"


def run(*options: object) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json", *map(str, options)],
        capture_output=True, text=True, timeout=540,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_shared_tokens_are_counted_once_and_hours_follow(data: Path) -> None:
    with_reference, without = run("--sets", "mtbench")
    assert with_reference["answers"] == without["answers"] > 100
    for own in (with_reference, without):
        # Less than all, and at least the answers themselves; whole blocks share a little less.
        assert own["prompt"] / 8 < own["tree"] < own["blocks"] < 0.95 * own["prompt"]
        assert own["blocks"] < own["tree"] + 16
        # 12.69 billion weights, 46 million answers, 40 % of the rate.
        weights = own["blocks"] * 2 * 12.687e9
        assert own["operations"] * (1 - own["attention"]) == pytest.approx(weights, rel=1e-3)
        hours = 46e6 * own["operations"] / (0.4 * 989e12) / 3600
        assert own["gpu_hours"]["H100"] == pytest.approx(hours)
        assert own["gpu_hours"]["A100"] == pytest.approx(hours * 989 / 312)
    # A reference is shared by the eight answers.
    more = with_reference["prompt"] - without["prompt"]
    assert with_reference["tree"] - without["tree"] == pytest.approx(more / 8, rel=0.1)


def test_each_part_is_measured(data: Path) -> None:
    rows = run("--parts", "--sets", "mtbench", "--rounds", 2)
    assert len(rows) == 9
    for row in rows:
        assert len(row["processor"]) == len(row["elapsed"]) == 2
        assert all(value > 0 for value in (*row["processor"], *row["elapsed"]))
    # The same prompts are measured, tokenized and packed.
    assert len({row["tokens"] for row in rows if row["tokens"]}) == 1
    assert sum(row["tokens"] > 0 for row in rows) == 3


def test_a_killed_worker_costs_no_score() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    rows = run("--ray", "--worker-engine", "transformers", "--records", 400)
    assert [row["run"] for row in rows] == ["one process", "Ray", "Ray, a worker killed"]
    assert all(row["records"] == 400 and not row["unscored"] for row in rows)
    assert all(row["difference"] < 1e-3 for row in rows)
    assert not rows[0]["killed"] and not rows[1]["killed"]
    # What the worker had stored was not judged again.
    assert 0 < rows[2]["killed"] <= rows[2]["from_store"] < 400


def test_a_run_that_fails_is_said() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--ray", "--judge", "./nowhere", "--records", "10"]
        + ["--worker-engine", "transformers"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no folder './nowhere'" in done.stderr
