"""The judge that comes with the package: whole, small, and the same judge on every route."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from selfj_eval import Judge, Record
from selfj_eval import registry as data
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.labels import expected_score
from selfj_eval.records.writing import write_records
from selfj_eval.registry.judges import JUDGES, packaged_judge
from selfj_eval.registry.models import model_folder

SMALL = JUDGES[0]
LIMIT = 6_000_000  # bytes of the adapter
RECORDS = [
    Record("1", "What is the capital of France?", "The capital of France is Paris.", "Paris."),
    Record("2", "What is the capital of France?", "I am sorry, I do not know.", "Paris."),
    Record("3", "Name three fruits.", "Apples, bananas and cherries."),
    Record("4", "Name three fruits.", "fruits fruits fruits fruits"),
]


def test_its_folder_is_whole_and_small() -> None:
    assert packaged_judge("small") is SMALL and packaged_judge("demo") is None
    files = {file.name: file.stat().st_size for file in SMALL.folder.iterdir()}
    assert set(files) == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "training.json"
    }  # fmt: skip
    assert files["adapter_model.safetensors"] <= LIMIT
    config = json.loads((SMALL.folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == SMALL.base == SMALL.model.name
    assert data.path("small") == SMALL.folder
    (listed,) = data.list().judges
    assert (listed.name, listed.base, listed.path) == ("small", "small-base", str(SMALL.folder))


def test_its_notes_and_card_name_no_place() -> None:
    notes = json.loads((SMALL.folder / "training.json").read_text())
    card = (SMALL.folder / "README.md").read_text()
    assert not any(mark in json.dumps(notes) for mark in ("/work", "/home", "/tmp", "/root"))
    for said in ("Apache-2.0", "MIT", "GPT-4", "base_model: HuggingFaceTB/SmolLM2-135M-Instruct"):
        assert said in card


def test_an_adapter_on_an_adapter_is_refused_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFJ_MODELS", str(tmp_path))
    with pytest.raises(JudgeError, match="small is an adapter on small-base itself"):
        Judge.load("small", adapter="small")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_it_judges_as_peft_computes_it(small_base: Path) -> None:
    """Our packed pass against the adapter put on the base by peft, prompt by prompt."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert model_folder(SMALL.model) == small_base
    judge = Judge.load("small", dtype="float32", device="cpu")
    judged = judge.judge(RECORDS)
    assert all(j.error is None and j.digit_mass is not None and j.digit_mass > 0.9 for j in judged)
    base = AutoModelForCausalLM.from_pretrained(small_base, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, SMALL.folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(small_base)
    digits = [tokenizer(str(k)).input_ids[-1] for k in range(10)]
    for record, judgment in zip(RECORDS, judged, strict=True):
        ids = tokenizer(judge.prompt(record).text, return_tensors="pt").input_ids
        with torch.no_grad():
            logits = model(ids).logits[0, -1].log_softmax(-1)[digits]
        score, _, mass = (v[0] for v in expected_score(np.array([logits.double().numpy()])))
        assert judgment.score == pytest.approx(score, abs=1e-3)
        assert judgment.digit_mass == pytest.approx(mass, abs=1e-4)
    by_id = {j.id: j.score for j in judged}
    assert by_id["1"] > by_id["2"] and by_id["3"] > by_id["4"]


@pytest.mark.long
def test_the_command_shows_nothing_of_what_other_libraries_warn_of(
    small_base: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    """peft reads an attribute that transformers will drop: nothing that a user could change."""
    answers = tmp_path / "answers.jsonl"
    write_records(answers, RECORDS)
    done = command(
        "selfj", "score", answers, "--judge", "small", "--output", tmp_path / "scores.jsonl",
        SELFJ_MODELS=str(small_base.parent),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 of 4 records judged" in done.stdout
    assert "Warning" not in done.stderr and "deprecated" not in done.stderr
