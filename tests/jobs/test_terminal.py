"""Names and texts of data, files and libraries do nothing to the terminal they are shown on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfj_eval.cli import main
from selfj_eval.errors import DataError, shown
from selfj_eval.jobs.terminal import say

HOSTILE = "\x1b[31m\x1b]0;title\x07\x9b2J\u202e\u2066\u200f\u061c\x08\r\nx"
NAME = "\x1b[31m\x9b2J\u202e\u200e\x07\r"  # of a file: no line break
ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
QUICK = ["--resamples", "20"]


@pytest.fixture
def inert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a command in a folder with hostile files; what it printed, which must be inert."""
    monkeypatch.chdir(tmp_path)
    rows = [_row(k) for k in range(12)]
    Path(f"{NAME}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "plain.jsonl").write_text("\n".join(map(json.dumps, rows)))
    output = {"instruction": HOSTILE, "output": HOSTILE, "generator": HOSTILE}
    Path("outputs.json").write_text(json.dumps([output]))

    def run(*argv: str, status: int | None = None) -> str:
        capsys.readouterr()
        found = main(list(argv))
        said = capsys.readouterr()
        for text in (said.out, said.err):
            assert not ACTS.search(text), ACTS.search(text)
        assert status is None or found == status, said.err
        return said.out + said.err

    return run


def _row(k: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": f"{HOSTILE}{k}", "instruction": f"{HOSTILE}{k // 4}", "response": f"{HOSTILE}{k}",
        "score": k / 2, "rating": k, "rating_min": 0, "rating_max": 11, "model": f"{NAME}{k % 2}",
        "category": f"{NAME}{k % 3}", HOSTILE: k, "reference": HOSTILE,
    }  # fmt: skip
    return row if k else row | {"score": None, "response": None, "error": HOSTILE}


@given(st.text())
def test_shown_is_one_inert_line(text: str) -> None:
    line = "".join(" " if category(c) == "Zs" else c for c in shown(text))
    assert line.isprintable()
    assert shown(shown(text)) == shown(text)


def test_what_people_write_stays() -> None:
    for text in ("naïve 日本語 שלום", "C:\\new", "it's", ""):
        assert shown(text) == text


def test_lines_of_ours_stay(capsys: pytest.CaptureFixture[str]) -> None:
    say("one\n  two\x1b[31m")
    assert capsys.readouterr().out == "one\n  two\\x1b[31m\n"


def test_errors_are_inert() -> None:
    error = DataError(f"no {HOSTILE}.", path=NAME, place=HOSTILE, field=HOSTILE)
    assert str(error).isprintable()


FILE = f"{NAME}.jsonl"
COMMANDS: dict[str, list[str]] = {
    "score": ["score", FILE, "--judge", "demo"],
    "score, names": ["score", FILE, "--judge", "demo", "--field", f"response={HOSTILE}2"],
    "score, judge": ["score", FILE, "--judge", f"./{NAME}"],
    "score, template": ["score", FILE, "--judge", "demo", "--template", HOSTILE],
    "eval": ["eval", FILE, *QUICK],
    "eval, ratings": ["eval", FILE, "--ratings", "plain.jsonl", *QUICK],
    "compare": ["compare", FILE, "plain.jsonl", *QUICK],
    "report": ["report", FILE, "--output", f"{NAME}.html", *QUICK],
    "select": ["select", FILE, "--max-risk", "0.9", "--confidence", "0.1"],
    "select, policy": ["select", FILE, "--policy", FILE],
    "audit": ["audit", FILE, FILE],
    "best-of": ["best-of", FILE, "--output", f"{NAME}.json"],
    "bench": ["bench", "--judges", "length,tfidf", "--data", FILE, "--output", f"{NAME}b", *QUICK],
    "bench, raters": ["bench", "--judges", HOSTILE, "--data", FILE, "--output", "b"],
    "robustness": ["bench", "--robust", "--judges", "length", "--data", FILE, "--output", "b"],
    "generate": ["generate", FILE, "--model", "demo", "--output", f"{NAME}g.jsonl", "--limit", "1",
                 "--max-new-tokens", "2"],
    "generate, model": ["generate", FILE, "--model", f"./{NAME}", "--output", "g.jsonl"],
    "label": ["label", FILE, "--judge", "demo", "--source", "self-eval", "--output", f"{NAME}l",
              "--validation", "0"],
    "label, rule": ["label", FILE, "--rule", FILE, "--output", "l"],
    "train judge": ["train", "judge", "--base", NAME, "--train-ref", FILE, "--train-noref", FILE,
                    "--output", "t"],
    "train sft": ["train", "sft", "--base", NAME, "--train", FILE, "--output", "t"],
    "train, setting": ["train", "sft", "--config", FILE],
    "merge": ["merge", "--adapter", NAME, "--output", "m"],
    "leaderboard": ["leaderboard", FILE, "--output", "l.csv"],
    "alpaca": ["alpaca", "evaluate", "outputs.json", "--judge", "demo", "--baseline",
               "outputs.json", "--output", f"{NAME}a"],
    "alpaca, manifest": ["alpaca", "table", "--manifest", FILE],
    "data": ["data", "get", HOSTILE],
    "collect": ["collect", "run", "--from", NAME, "--output", "c"],
    "collect, source": ["collect", "run", "--sources", HOSTILE, "--from", ".", "--output", "c"],
    "collect stats": ["collect", "stats", NAME, "--output", "c"],
    "ladder": ["ladder", "--instructions", "1", "--output", f"{NAME}ladder.jsonl"],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_hostile_names(inert: Callable[..., str], command: str) -> None:
    assert "\\x1b[31m" in inert(*COMMANDS[command]) or command == "eval"


def test_hostile_errors_of_judgments_and_names_of_groups(inert: Callable[..., str]) -> None:
    said = inert("eval", FILE, *QUICK)
    assert "\\x1b[31m\\x9b2J\\u202e\\u200e" in said  # categories and models


def test_hostile_fields_of_settings(inert: Callable[..., str]) -> None:
    Path("c.yaml").write_text('"\\e[31m\\u202e": 1\n')
    assert "\\x1b[31m\\u202e" in inert("train", "sft", "--config", "c.yaml", status=2)
    Path("p.json").write_text(json.dumps({"kind": "selfj-policy", HOSTILE: 1}))
    inert("select", FILE, "--policy", "p.json", status=2)
    Path("r.yaml").write_text('- {name: "\\e[31m", rater: "\\a"}\n')
    inert("bench", "--raters", "r.yaml", "--judges", "x", "--data", FILE, "--output", "b", status=2)


def test_nothing_is_printed_past_say() -> None:
    package = Path(__file__).parents[2] / "selfj_eval"
    allowed = {package / "jobs" / "terminal.py", package / "cli" / "__init__.py"}
    for file in package.rglob("*.py"):
        if file not in allowed and "demo" not in file.parts:
            found = re.search(r"(?<![\w.])print\(|sys\.std(out|err)\.write\(", file.read_text())
            assert found is None, f"{file}: print with jobs.terminal.say"


def test_usage_errors_are_inert(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["path", "judge", "--x\x1b[31m\u202e"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "\\x1b[31m\\u202e" in said and "\x1b" not in said and "\u202e" not in said
