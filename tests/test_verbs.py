"""Every verb of the library gives what its command gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from selfj_eval.cli import main
from selfj_eval.demo import JUDGE_DIR
from selfj_eval.results import Result

CHANGING = {"seconds", "made", "command", "from_store"}
"""Keys that differ from run to run; what is below them is not compared."""


class Case(NamedTuple):
    """A verb, called both ways with equal arguments in two folders of equal content."""

    argv: list[str]
    call: Callable[[], Result]
    needs: str | None = None
    """A package without which it cannot run."""
    before: Callable[[], object] = lambda: None
    """What makes the rest of its input."""


def _score() -> Result:
    from selfj_eval.judging.score import score

    return score("answers.jsonl", judge="demo", limit=40)


def _generate() -> Result:
    from selfj_eval.generation.generate import generate

    return generate("answers.jsonl", model="demo", limit=3, max_new_tokens=4, output="a.jsonl")


def _label() -> Result:
    from selfj_eval.training.label import label

    return label("answers.jsonl", source="rating", output="pairs")


def _train_judge() -> Result:
    from selfj_eval.training.judge import train_judge

    return train_judge(
        base=JUDGE_DIR, train_ref="pairs.ref.jsonl", train_noref="pairs.noref.jsonl",
        output="judge", max_steps=2, batch_size=4, gradient_accumulation=1,
    )  # fmt: skip


def _train_sft() -> Result:
    from selfj_eval.training.sft import train_sft

    return train_sft(
        base=JUDGE_DIR, train="pairs.ref.jsonl", output="model", max_steps=2, batch_size=4,
        gradient_accumulation=1, max_tokens=512,
    )  # fmt: skip


def _merge() -> Result:
    from selfj_eval.training.merge import merge

    return merge(adapter="adapter", output="merged")


def _adapter() -> None:
    """A LoRA adapter of the demo judge that changes something."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, set_seed

    set_seed(0)
    model = AutoModelForCausalLM.from_pretrained(JUDGE_DIR)
    settings = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(model, settings).save_pretrained("adapter")


_TRAINING = ["--max-steps=2", "--batch-size=4", "--gradient-accumulation=1"]

CASES = {
    "score": Case(["score", "answers.jsonl", "--judge", "demo", "--limit", "40"], _score),
    "generate": Case(
        ["generate", "answers.jsonl", "--model", "demo", "--limit", "3", "--max-new-tokens", "4",
         "--output", "a.jsonl"],
        _generate,
    ),
    "label": Case(["label", "answers.jsonl", "--source", "rating", "--output", "pairs"], _label),
    "train_judge": Case(
        ["train", "judge", "--base", str(JUDGE_DIR), "--train-ref", "pairs.ref.jsonl",
         "--train-noref", "pairs.noref.jsonl", "--output", "judge", *_TRAINING],
        _train_judge,
        before=_label,
    ),
    "train_sft": Case(
        ["train", "sft", "--base", str(JUDGE_DIR), "--train", "pairs.ref.jsonl", "--output",
         "model", "--max-tokens=512", *_TRAINING],
        _train_sft,
        needs="trl",
        before=_label,
    ),
    "merge": Case(["merge", "--adapter", "adapter", "--output", "merged"], _merge, before=_adapter),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_verb_gives_what_its_command_gives(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = CASES[name]
    if case.needs is not None:
        pytest.importorskip(case.needs)
    files = {}
    for way in ("command", "verb"):
        folder = tmp_path / way / "work"
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        _inputs(folder)
        case.before()
        capsys.readouterr()
        if way == "command":
            main([*case.argv, "--json"])
            given = json.loads(capsys.readouterr().out)
        else:
            result = case.call()
            assert _lasting(json.loads(json.dumps(result.to_dict()))) == _lasting(given)
            assert str(result) and result._repr_html_()
            assert len(result.to_frame()) == len(result.rows())
        files[way] = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert files["verb"] == files["command"]


def _inputs(folder: Path) -> None:
    """What the cases read."""
    assert main(["ladder", "--output", str(folder / "answers.jsonl"), "--instructions", "10"]) == 0


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in CHANGING}
    return [_lasting(item) for item in value] if isinstance(value, list) else value
