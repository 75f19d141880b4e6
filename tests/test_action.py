"""The steps of the action for GitHub, run as a runner would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["id"]: step for step in ACTION["runs"]["steps"] if "run" in step}


class Ran(NamedTuple):
    """What a step left."""

    status: int
    output: str
    summary: str
    outputs: dict[str, str]


@pytest.fixture
def step(tmp_path: Path) -> Callable[..., Ran]:
    """Runs a step with inputs (dashes as underscores); those that are not given have defaults."""

    def run(name: str, **inputs: str) -> Ran:
        given = {key.replace("_", "-"): value for key, value in inputs.items()}
        values = {k: given.get(k, own.get("default", "")) for k, own in ACTION["inputs"].items()}
        bin_folder = str(Path(sys.executable).parent)
        files = {name: tmp_path / name for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
        for file in files.values():
            file.write_text("")
        environment = os.environ | {key: str(file) for key, file in files.items()}
        environment |= {"RUNNER_TEMP": str(tmp_path), "GITHUB_ACTION_PATH": "/the/action"}
        environment["PATH"] = os.pathsep.join([str(tmp_path), bin_folder, os.environ["PATH"]])
        for variable, text in STEPS[name]["env"].items():
            found = re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", text)
            assert found is not None, text
            environment[variable] = values[found[1]]
        (tmp_path / "step.sh").write_text(STEPS[name]["run"])
        done = subprocess.run(  # as the runner starts `shell: bash`
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(tmp_path / "step.sh")],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        lines = files["GITHUB_OUTPUT"].read_text().splitlines()
        outputs = dict(line.split("=", 1) for line in lines)
        summary = files["GITHUB_STEP_SUMMARY"].read_text()
        return Ran(done.returncode, done.stdout + done.stderr, summary, outputs)

    return run


def _scores(folder: Path, name: str, gap: float = 0.0) -> None:
    rows = [
        {"id": str(k), "instruction": f"{k}?", "response": "r", "score": 5 + k % 4 - gap * (k % 3)}
        for k in range(60)
    ]
    (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_inputs_reach_the_shell_by_its_environment_only() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for own in STEPS.values():
        assert "${{" not in own["run"] and own["shell"] == "bash"
    used = set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", yaml.safe_dump(ACTION["runs"])))
    assert used == set(ACTION["inputs"])
    for name, output in ACTION["outputs"].items():
        assert output["value"] == f"${{{{ steps.check.outputs.{name} }}}}"


def test_scores_that_keep_what_is_required(step: Callable[..., Ran], tmp_path: Path) -> None:
    _scores(tmp_path, "my scores.jsonl")
    required = "mean_score >= 6\n\n  share_at_least(5)>=0.9  \n"
    ran = step("check", scores="my scores.jsonl", require=required)
    assert ran.status == 0, ran.output
    assert "all 3 requirements hold" in ran.output and "| holds | mean_score >= 6 |" in ran.summary
    assert set(ran.outputs) == set(ACTION["outputs"])
    root = ElementTree.parse(tmp_path / ran.outputs["junit"]).getroot()
    assert (root.get("tests"), root.get("failures")) == ("3", "0")
    assert Path(ran.outputs["markdown"]).read_text() == ran.summary


def test_scores_that_do_not(step: Callable[..., Ran], tmp_path: Path) -> None:
    _scores(tmp_path, "new.jsonl", gap=1.0)
    _scores(tmp_path, "old.jsonl")
    inputs: dict[str, Any] = {"scores": "new.jsonl", "baseline": "old.jsonl", "no_worse": "1.1"}
    ran = step("check", **inputs)
    assert ran.status == 1
    assert "BROKEN  difference_to_baseline >= -1.1: value -1.0" in ran.output
    assert "**broken**" in ran.summary
    root = ElementTree.parse(tmp_path / ran.outputs["junit"]).getroot()
    assert root.get("failures") == "1"
    assert step("check", point="true", **inputs).status == 0


@pytest.mark.parametrize(
    "inputs",
    [
        {"scores": "$(touch hacked).jsonl", "require": "mean_score>=1"},
        {"scores": "s.jsonl", "require": 'mean_score>=1"; touch hacked; "`touch hacked`'},
        {"scores": "s.jsonl", "require": "mean_score>=1", "junit": "no/$(touch hacked).xml"},
        {"scores": "--help", "require": "mean_score>=1"},
        {"scores": "s.jsonl", "require": "--json"},
    ],
)
def test_wrong_input_ends_with_2_and_runs_nothing(
    inputs: dict[str, str], step: Callable[..., Ran], tmp_path: Path
) -> None:
    _scores(tmp_path, "s.jsonl")
    ran = step("check", **inputs)
    assert ran.status == 2, ran.output
    assert "selfj: error: " in ran.output
    assert (ran.summary, ran.outputs) == ("", {})
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("install", "asked"),
    [
        ("", ["-c", "/the/action/constraints.txt", "/the/action"]),
        ("selfj-eval==0.2.0", ["--", "selfj-eval==0.2.0"]),
        ("none", None),
    ],
)
def test_what_is_installed(
    install: str, asked: list[str] | None, step: Callable[..., Ran], tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > asked\n')
    python.chmod(0o755)
    assert step("install", install=install).status == 0
    wanted = None if asked is None else ["-m", "pip", "install", *asked]
    file = tmp_path / "asked"
    assert (file.read_text().splitlines() if file.exists() else None) == wanted


def test_the_workflow_of_the_documentation() -> None:
    page = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
    steps = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    (used,) = [own for own in steps if own.get("id") == "gate"]
    required = {name for name, own in ACTION["inputs"].items() if own.get("required")}
    assert required <= set(used["with"]) <= set(ACTION["inputs"])
    outputs = re.findall(r"steps\.gate\.outputs\.([\w-]+)", str(steps))
    assert outputs and set(outputs) <= set(ACTION["outputs"])
