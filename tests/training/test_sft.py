"""Instruction tuning: what it learns is what generation gives, and nothing is lost unsaid."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.cli import main
from selfj_eval.demo import JUDGE_DIR
from selfj_eval.errors import DataError, JudgeError, StoreError
from selfj_eval.generation.base import PromptTokenizer
from selfj_eval.training.results import SftRun
from selfj_eval.training.settings import SftConfig
from selfj_eval.training.sft import Example, encode_example, read_examples, train_sft

pytest.importorskip("trl", reason="trl is not installed")

ROWS = [
    {"instruction": "What is the capital of {France}?", "output": "Paris is the capital."},
    {"instruction": "Name a colour.", "output": "The sky is blue."},
]


@pytest.fixture
def train(tmp_path: Path) -> Path:
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


def settings(train: Path, name: str, **more: Any) -> dict[str, Any]:
    own = {
        "base": str(JUDGE_DIR), "train": str(train), "output": str(train.parent / name),
        "lora_r": 0, "max_tokens": 256, "batch_size": 2, "gradient_accumulation": 1,
        "warmup_steps": 0, "learning_rate": 3e-3, "max_steps": 40, "logging_steps": 1,
    }  # fmt: skip
    return own | more


def tune(train: Path, name: str, **more: Any) -> SftRun:
    return train_sft(**settings(train, name, **more))


def run(*arguments: str) -> int:
    return main(["train", "sft", *arguments])


def weights(folder: str) -> Any:
    from safetensors.torch import load_file

    (file,) = Path(folder).glob("*.safetensors")
    return load_file(file)


@pytest.mark.parametrize("prompt", ["wizardlm", "plain", "chat"])
def test_the_answer_follows_the_tokens_of_generation(prompt: str) -> None:
    tokenizer = PromptTokenizer(JUDGE_DIR, "plain")
    own, tokenizer.prompt = tokenizer.tokenizer, prompt
    own.chat_template = "{{ bos_token }}[user] {{ messages[0].content }} [model]\n"
    asked, answer = encode_example(tokenizer, Example(ROWS[0]["instruction"], ROWS[0]["output"]))
    assert asked == tokenizer.encode(ROWS[0]["instruction"])
    assert (asked + answer).count(own.bos_token_id) == 1 and asked[0] == own.bos_token_id
    assert answer[-1] == own.eos_token_id and answer.count(own.eos_token_id) == 1
    assert own.decode(answer[:-1]) == ROWS[0]["output"]


def test_it_learns_and_generation_gives_it_back(
    train: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from selfj_eval.generation.answering import answers_to
    from selfj_eval.generation.options import Sampling
    from selfj_eval.generation.transformers import TransformersGenerator

    with train.open("a") as stream:
        stream.write(json.dumps({"instruction": "Count.", "response": "one two " * 300}) + "\n")
    output = train.parent / "tuned"
    assert run("--base", str(JUDGE_DIR), "--train", str(train), "--output", str(output),
               "--lora-r=0", "--max-tokens=256", "--batch-size=2", "--gradient-accumulation=1",
               "--warmup-steps=0", "--learning-rate=3e-3", "--max-steps=60",
               "--logging-steps=1", "--validation", str(train)) == 0  # fmt: skip
    assert "2 of 3 rows used, 1 too long" in capsys.readouterr().out
    about = json.loads((output / "training.json").read_text())
    assert about["data"]["train"]["too_long"] == 1
    assert about["config"]["prompt"] == "wizardlm"  # the base has no chat template
    losses = [line["loss"] for line in about["history"] if "loss" in line]
    assert losses[-1] < 0.1 < 1 < losses[0]
    found = answers_to(
        TransformersGenerator(str(output)), [r["instruction"] for r in ROWS],
        Sampling(max_new_tokens=40),
    )  # fmt: skip
    assert [o.answers[0].text for o in found] == [r["output"] for r in ROWS]
    card = (output / "README.md").read_text()
    assert "1 were too long" in card and f"{about['loss']:.3f}" in card
    assert "--model tuned" in card and "judge of answers" not in card
    assert str(train.parent) not in card and str(JUDGE_DIR.parent) not in card
    assert not list(output.glob("*.bin")) and not Path(f"{output}.checkpoints").exists()


def test_resumed_is_uninterrupted(train: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from trl import SFTTrainer

    steps = {"max_steps": 6, "save_steps": 3, "lora_r": 4}
    assert tune(train, "whole", **steps).steps == 6
    real, calls = SFTTrainer.training_step, [0]

    def dying(self: Any, *rest: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] > 4:
            raise KeyboardInterrupt
        return real(self, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(SFTTrainer, "training_step", dying)
        with pytest.raises(KeyboardInterrupt):
            tune(train, "parts", **steps)
    with pytest.raises(StoreError, match="other settings .learning_rate"):
        tune(train, "parts", **steps, learning_rate=1e-3)
    counted = [0]

    def counting(self: Any, *rest: Any, **more: Any) -> Any:
        counted[0] += 1
        return real(self, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(SFTTrainer, "training_step", counting)
        tune(train, "parts", **steps)
    assert counted[0] == 3
    whole, parts = weights(str(train.parent / "whole")), weights(str(train.parent / "parts"))
    assert whole.keys() == parts.keys() and any("lora_" in name for name in whole)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_wrong_input_is_named(train: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train.write_text('{"instruction": "Hi", "output": "Ho"}\n{"instruction": "Hi", "output": ""}\n')
    with pytest.raises(DataError, match=r"train\.jsonl, line 2, field 'output': expected text"):
        read_examples(train)
    train.write_text('{"instruction": "Hi", "output": "Ho"}\n')
    with pytest.raises(DataError, match=r"all 1 rows are longer than max_tokens, 3"):
        tune(train, "x", max_tokens=3)
    with pytest.raises(DataError, match="99999 is more than the"):
        tune(train, "x", max_tokens=99999)
    with pytest.raises(DataError, match="lora_r"):
        tune(train, "x", quantization="4bit")
    monkeypatch.setitem(sys.modules, "trl.trainer.sft_config", None)
    with pytest.raises(JudgeError, match=r'pip install "selfj-eval\[train\]"'):
        tune(train, "x")


def test_the_configuration_of_the_paper_loads() -> None:
    file = Path(__file__).parents[2] / "configs" / "sft-llama-2-13b.yaml"
    assert SftConfig.load(file, {}).learning_rate == 2e-4
