"""What version 0.1 has written is read, and gone on from: ``data/v0.1``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import selfj_eval as selfj

MADE = Path(__file__).parent / "data" / "v0.1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of its files."""
    return Path(shutil.copytree(MADE, tmp_path / "old"))


def test_a_store_of_judgments_goes_on(old: Path) -> None:
    written = old / "ladder.jsonl.scores.jsonl"
    before = [json.loads(line) for line in written.read_text().splitlines()]
    settings = {"judge": "demo", "device": "cpu", "dtype": "float32"}
    for output in (old / "scores_ladder.jsonl", written):  # the default name now, and then
        named = {"output": output} if output == written else {}
        run = selfj.score(old / "ladder.jsonl", **settings, **named)  # type: ignore[arg-type]
        assert (run.records, run.from_store, run.output) == (20, 20, str(output))
        assert [json.loads(line) for line in output.read_text().splitlines()] == before


def test_a_store_of_answers_goes_on(old: Path) -> None:
    text = (old / "answers.jsonl").read_text()
    run = selfj.generate(
        old / "ladder.jsonl",
        model="demo",
        max_new_tokens=4,
        output=old / "answers.jsonl",
        device="cpu",
    )
    assert run.from_store == 20
    assert (old / "answers.jsonl").read_text() == text


def test_a_folder_of_scores_is_known_as_our_own(old: Path) -> None:
    """It is made again, since rows are read otherwise now."""
    file = old / "folder.scores" / "a.parquet"
    before = selfj.evaluate(file, resamples=20).headline.pearson.value
    run = selfj.score(old / "folder", judge="demo", device="cpu", dtype="float32")
    assert (run.scored, run.from_store) == (20, 0)
    assert selfj.evaluate(file, resamples=20).headline.pearson.value == pytest.approx(before)


def test_scores_give_the_evaluation_of_then(old: Path) -> None:
    now = selfj.evaluate(old / "ladder.jsonl.scores.jsonl").to_dict()
    then = json.loads((old / "evaluation.json").read_text())
    assert now["judge"] == then["judge"]
    for name, metric in then["headline"].items():
        assert now["headline"][name]["value"] == pytest.approx(metric["value"]), name


def test_a_policy_decides_as_then(old: Path) -> None:
    policy = selfj.Policy.load(old / "policy.json")
    decisions = selfj.select(
        old / "ladder.jsonl.scores.jsonl", policy=old / "policy.json", output=old / "kept.jsonl"
    )
    assert decisions.accepted == 20
    assert policy.decide(policy.threshold).accept
    assert not policy.decide(policy.threshold - 0.01).accept


def test_the_names_in_users_files_are_there() -> None:
    """AlpacaEval annotators and lm-eval task files name these."""
    from selfj_eval import harness
    from selfj_eval.alpaca.client import Client

    assert Client.__module__ == "selfj_eval.alpaca.client"
    assert {"JudgeTask", "PairTask", "GenTask"} <= set(harness.__all__)
