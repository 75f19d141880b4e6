"""From answers to a judge in one script, without a command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfj_eval.demo import JUDGE_DIR
from selfj_eval.errors import DataError
from selfj_eval.generation.generate import generate
from selfj_eval.jobs.options import OptionError
from selfj_eval.judging.score import score
from selfj_eval.training.labelling.label import label
from selfj_eval.training.settings import JudgeConfig

SCRIPT = """\
from selfj_eval.demo import JUDGE_DIR, ladder
from selfj_eval.judging.score import score
from selfj_eval.training.judge import train_judge
from selfj_eval.training.labelling.label import label
from selfj_eval.training.merge import merge

rated = [r for r in ladder("train", instructions=10) if r.response.strip()]
pairs = label(rated, source="rating", validation=0.2, output="pairs")
print(pairs)
trained = train_judge(
    base=JUDGE_DIR, output="adapter", train_ref=pairs.files.ref, train_noref=pairs.files.noref,
    validation_ref=pairs.files.validation_ref, validation_noref=pairs.files.validation_noref,
    max_steps=6, batch_size=8, gradient_accumulation=1, learning_rate=1e-3,
)
print(trained)
judge = merge(adapter=trained.output, output="judge")
print(judge)
scores = score(ladder("test", instructions=3), judge=judge.output)
print(scores)
assert trained.agreement("teacher").spearman > 0.3 and scores.scored == 30
"""


@pytest.mark.long
def test_a_judge_is_trained_merged_and_used_in_25_lines(tmp_path: Path) -> None:
    assert len(SCRIPT.splitlines()) <= 25
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for line in (
        "99 of 99 answers to 10 instructions labelled (rating)",
        "adapter: 6 steps in",
        "judge: 1,041,536 parameters in float32, README.md",
        "30 of 30 records judged",
    ):
        assert line in done.stdout
    notes = json.loads((tmp_path / "judge" / "training.json").read_text())
    assert notes["command"] is None and notes["config"]["base"] == str(JUDGE_DIR)
    assert not (tmp_path / "adapter.checkpoints").exists()


def test_texts_are_answered_in_memory_and_what_comes_is_judged_and_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[int] = []
    made = generate(
        ["Add 2 and 3.", "Name a colour."],
        model="demo", max_new_tokens=4, progress=lambda step: told.append(step.done),
    )  # fmt: skip
    assert [(r.id, r.instruction, r.model) for r in made.records] == [
        ("0", "Add 2 and 3.", "demo"), ("1", "Name a colour.", "demo"),
    ]  # fmt: skip
    assert (made.answers, made.output, told[-1]) == (2, None, 2)
    assert not list(tmp_path.iterdir()), "nothing is written that is not named"
    assert score(made, judge="demo").records == 2
    rows = [{"id": r.id, "instruction": r.instruction, "reference": "5"} for r in made.records]
    again = generate(rows, model="demo", max_new_tokens=4, output="a.jsonl")
    assert [r.response for r in again.records] == [r.response for r in made.records]
    assert json.loads((tmp_path / "a.jsonl.run.json").read_text())["input"] is None
    labels = label(again, source="self-eval", judge="demo", validation=0, output="pairs")
    assert (labels.answers, labels.parts.train) == (2, 2) and labels.judge is not None
    asked = label(
        [row | {"instruction": f"{row['instruction']} {k}", "id": f"{k}"} for row in rows
         for k in range(6)][:6],
        source="self-eval", model="demo", n=2, max_new_tokens=6, validation=0, output="more",
    )  # fmt: skip
    assert asked.generator is not None and asked.generator.answers == 12


def test_what_makes_no_sense_is_said_in_pythons_words(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="^`validation` must be in .0, 1., got 1.0"):
        label([], output=tmp_path / "x", validation=1)
    with pytest.raises(OptionError, match="^`weights` must have 2 values, got 3"):
        label([], output=tmp_path / "x", weights=(1, 2, 3))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="^`source` self-j needs `model`, or `judge`"):
        label([{"instruction": "a", "reference": "r"}], output=tmp_path / "x")
    with pytest.raises(DataError, match="^the input has no answers to label; `source` rating"):
        label(["Add 2 and 3."], output=tmp_path / "x", source="rating")
    with pytest.raises(DataError, match="^there are no instructions"):
        generate([], model="demo")
    with pytest.raises(OptionError, match="^`lora_r` must be 0: an encoder"):
        JudgeConfig(base="b", output="o", train_ref="r", train_noref="n", architecture="encoder")
