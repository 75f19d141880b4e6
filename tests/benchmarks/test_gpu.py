"""``benchmarks/gpu.py --tiny``: all of what a GPU would be asked, on this CPU."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
WAYS = ["one by one", "padded", "packed, node by node", "packed, FlexAttention"]
PARTS = ("score-1b", "score-7b", "train-step", "lora")


def run(output: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--tiny", f"--output={output}", *options],
        capture_output=True, text=True, timeout=540, env=os.environ | environment,
    )  # fmt: skip


def found(output: Path, part: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((output / f"{part}.json").read_text())
    return values


def document(output: Path) -> str:
    (file,) = output.glob("gpu-*.md")
    return file.read_text()


def row(text: str, *cells: str) -> str:
    """The one row of a table that begins with these cells."""
    begin = f"| {' | '.join(cells)} |"
    (line,) = [line for line in text.splitlines() if line.startswith(begin)]
    return line


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves whose first part fails."""
    folder = tmp_path_factory.mktemp("gpu") / "out"
    done = run(folder, PYTEST_ADDOPTS="--no-such-option")
    assert done.returncode == 1, done.stderr
    assert found(folder, "tests")["status"] == "failed"
    assert "pytest ended with status 4" in row(document(folder), "tests", "failed")
    assert document(folder) in done.stdout
    return folder


def test_the_other_parts_go_on_when_one_fails(output: Path) -> None:
    for part in PARTS:
        values = found(output, part)
        assert values["status"] == "done", (output / f"{part}.log").read_text()
        assert 0 < values["seconds"] < 540
        assert row(document(output), part, "done")


@pytest.mark.parametrize("size", ["1b", "7b"])
def test_scoring_is_measured_in_all_ways_and_they_agree(output: Path, size: str) -> None:
    values = found(output, f"score-{size}")
    assert 0 < values["layer_parameters"] < values["parameters"]
    for name in ("mix", "best-of-32"):
        own = values["sets"][name]
        ways = own["ways"]
        assert list(ways) == WAYS
        computed = {way: measured["computed_tokens"] for way, measured in ways.items()}
        assert (
            computed[WAYS[2]]
            == computed[WAYS[3]]
            < computed["one by one"]
            == own["tokens"]
            < computed["padded"]
        )
        for way, measured in ways.items():
            assert measured["not_finite"] == 0
            limit = 0 if way == "one by one" else 1e-4
            assert 0 <= measured["largest_difference"] <= limit
            assert 0 <= measured["largest_score_difference"] <= limit
            assert len(measured["seconds"]) == len(own["product_rates"]) >= 1
            for seconds, rate in zip(measured["seconds"], own["product_rates"], strict=True):
                share = 2 * values["layer_parameters"] * measured["computed_tokens"]
                assert 0 < share / (seconds * rate) < 2
        assert ways["one by one"]["score_deviation"] > 0.01  # the prompts are told apart
    section = document(output).split(f"## score-{size}")[1].split("\n## ")[0]
    for way in WAYS:
        assert len(re.findall(rf"^\| {way} \|", section, re.MULTILINE)) == 2
    assert values["sets"]["best-of-32"]["ways"][WAYS[3]]["computed_tokens"] < 5000


def test_the_training_step_stands_beside_the_originals(output: Path) -> None:
    variants = found(output, "train-step")["variants"]
    assert list(variants) == ["original", "ours", "ours, grouped by length"]
    original, ours = variants["original"], variants["ours"]
    assert all(s > 0 for own in variants.values() for s in own["seconds_a_pair"])
    # The vocabulary at two positions in place of all: of a tiny model nearly the whole step.
    assert min(ours["seconds_a_pair"]) < min(original["seconds_a_pair"])
    if sys.platform == "linux":
        assert 0 < ours["peak_bytes"] < original["peak_bytes"] < 4e9
    assert row(document(output), "ours, grouped by length")


def test_the_loss_falls_over_200_steps(output: Path) -> None:
    values = found(output, "lora")
    curve = values["curve"]
    assert [line["step"] for line in curve] == list(range(1, 201))
    assert values["ended"] == "all steps" and len(values["step_seconds"]) == 200
    losses = [line["loss"] for line in curve]
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-20:]) < 0.8 * sum(losses[:5]) * 20 / 5
    assert 0 < values["trained"] < 0.1 * values["parameters"]
    shown = re.findall(r"^\| (\d+) \| [\d.]+ \| [\d.]+", document(output), re.MULTILINE)
    assert list(map(int, shown)) == [1, *range(20, 201, 20)]


def test_a_part_is_run_later_and_joins_the_table(output: Path) -> None:
    done = run(output, "--part=tests")
    assert done.returncode == 0, done.stdout
    tests = found(output, "tests")["tests"]
    assert tests["failed"] == [] and len(tests["skipped"]) > 5
    text = document(output)
    assert row(text, "tests", "done") and row(text, "lora", "done")
    assert "failed" not in text.split("\n## ")[0]


def test_what_ends_a_part_is_told(tmp_path: Path) -> None:
    unknown = run(tmp_path, "--part=score-1b", "--device=warp")
    assert unknown.returncode == 1
    assert "unknown device 'warp'" in row(document(tmp_path), "score-1b", "failed")
    late = run(tmp_path, "--part=lora", "--limit=1")
    assert late.returncode == 1
    assert "ended after 1 seconds" in row(document(tmp_path), "lora", "failed")
    assert "unknown device 'warp'" in row(document(tmp_path), "score-1b", "failed")
