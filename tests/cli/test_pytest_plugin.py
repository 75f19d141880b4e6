"""The pytest plugin in a project of its own, as pytest finds it: by the entry point."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest

from selfj_eval.cli.pytest_plugin import JudgedAnswers
from selfj_eval.demo import ladder
from selfj_eval.records.writing import write_rows
from selfj_eval.storage.store import JudgmentStore

ROOT = Path(__file__).parents[2]
Project = Callable[..., subprocess.CompletedProcess[str]]
TESTS = """
import pytest

@pytest.fixture(scope="module")
def poor(selfj):
    return selfj.score("poor.jsonl")

def test_good_answers(selfj):
    found = selfj.check(selfj.score("good.jsonl"), "mean_score>=6", "share_at_least(5)>=0.5")
    assert found.holds and found.answers == 40

def test_poor_answers(selfj, poor):
    selfj.check(poor, "mean_score >= 6")

def test_worse_than_before(selfj, poor):
    selfj.check(poor, baseline=selfj.score("good.jsonl").scores, no_worse=0.5)

def test_nothing_is_judged_twice(selfj, poor):
    again = selfj.score("poor.jsonl")
    assert (poor.from_store, again.from_store) == (0, 40)
    rows = [{"id": "1", "instruction": "What is 2 + 3?", "response": "5"}]
    assert selfj.score(rows, judge="length").judgments[0].score == 1.0
"""
AT_ONCE = """
import pytest
from selfj_eval.storage.store import JudgmentStore, Stored

def judged(answers, judge, store):
    keys = [answer.encode() for answer in answers]
    with JudgmentStore(store) as own:
        known = own.get(keys)
        own.put({key: Stored((0.5,) * 10, 0) for key in keys if key not in known})
        assert len(own.get(keys)) == len(keys)
    return len(known)

@pytest.mark.parametrize("part", range(4))
def test_many(selfj, part, monkeypatch):
    monkeypatch.setattr("selfj_eval.judging.score.score", judged)
    for k in range(25):
        assert selfj.score([f"both {k}", f"of {part} {k}"]) in KNOWN
"""
OTHERS = """
import sys

def test_of_another_project():
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert "selfj_eval.cli.pytest_plugin" in sys.modules
    assert not {"torch", "transformers", "numpy", "yaml", "pyarrow"} & loaded
    assert not [name for name in sys.modules if name.startswith("selfj_eval.evaluation")]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Runs pytest in a project with one file of tests; the plugin is found as pyproject says."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = points["entry-points"]["pytest11"]
    about = tmp_path / "site" / "selfj_of_this_test-0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: selfj-of-this-test\nVersion: 0\n")
    lines = [f"{name} = {module}\n" for name, module in found.items()]
    (about / "entry_points.txt").write_text("[pytest11]\n" + "".join(lines))
    folder = tmp_path / "project"
    folder.mkdir()
    paths = [str(about.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "SELFJ_"))}
    environment |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "120",
    }

    def run(tests: str, *flags: str) -> subprocess.CompletedProcess[str]:
        (folder / "test_answers.py").write_text(tests)
        (folder / "pytest.ini").write_text("[pytest]\n")
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "0", *flags],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def write_answers(file: Path, rating: float) -> None:
    """The ladder's answers with this rating, one to each of 40 instructions."""
    records = {r.instruction: r for r in ladder(instructions=40) if r.rating == rating}
    rows = [
        {"instruction": text, "response": r.response, "reference": r.reference}
        for text, r in records.items()
    ]
    write_rows(file, rows)


@pytest.mark.long
def test_a_project_whose_answers_are_judged(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    write_answers(folder / "good.jsonl", 8)
    write_answers(folder / "poor.jsonl", 0)
    done = project(TESTS, "--selfj-judge", "demo", "--junit-xml", "report.xml")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 failed, 2 passed" in done.stdout
    summary = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert summary[0].startswith("FAILED test_answers.py::test_poor_answers")
    assert "Failed: broken: mean_score >= 6 (1 of 2 requirements)" in done.stdout
    assert "BROKEN  difference_to_baseline >= -0.5: value -" in done.stdout
    assert "Traceback" not in done.stdout and "pytest_plugin.py" not in done.stdout
    cases = ElementTree.parse(folder / "report.xml").getroot().iter("testcase")
    failures = {case.get("name"): case.find("failure") for case in cases}
    failed = {name: own.get("message") for name, own in failures.items() if own is not None}
    assert set(failed) == {"test_poor_answers", "test_worse_than_before"}
    assert "the value itself is too low" in str(failed["test_poor_answers"])
    # Nothing is left beside the answers but what pytest itself leaves.
    assert {p.name for p in folder.glob("*.jsonl*")} == {"good.jsonl", "poor.jsonl"}


@pytest.mark.long
def test_runs_at_once_share_what_was_judged(project: Project) -> None:
    """Two runs of two processes each, whose judge uses the store as the real ones do."""
    flags = ("--selfj-judge", "demo", "-n", "2", "--dist", "load")
    with ThreadPoolExecutor(2) as pool:
        tests = AT_ONCE.replace("KNOWN", "(0, 1, 2)")
        runs = [pool.submit(project, tests, *flags) for _ in range(2)]
    for run in runs:
        done = run.result()
        assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout + done.stderr
    last = project(AT_ONCE.replace("KNOWN", "(2,)"), *flags)
    assert last.returncode == 0 and "4 passed" in last.stdout, last.stdout


def test_a_cache_that_another_run_has_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(_: object, *, store: Path, **__: object) -> bool:
        with JudgmentStore(store):
            return store.exists()

    monkeypatch.setattr("selfj_eval.judging.score.score", judged)
    own = JudgedAnswers("demo", tmp_path, tmp_path / "cache" / "selfj" / "judgments.store")
    assert own.score([])
    shutil.rmtree(tmp_path / "cache")
    assert own.score([])


def test_no_judge_fails_the_test(project: Project) -> None:
    done = project("def test_a(selfj):\n    selfj.score([])\n")
    assert done.returncode == 1
    assert "no judge is named; run pytest with --selfj-judge JUDGE" in done.stdout


def test_other_projects_are_not_disturbed(project: Project) -> None:
    done = project(OTHERS)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout and "warning" not in done.stdout


def test_the_example_of_the_documentation(project: Project, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    write_answers(tmp_path / "project" / "answers.jsonl", 8)
    done = project(code, "--selfj-judge", "demo")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
