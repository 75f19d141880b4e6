"""Adapters: with token embeddings of their own, for another base, and trained for nothing."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfj_eval.cli import main
from selfj_eval.demo import JUDGE_DIR
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.models.adapters import check_adapter_for_vllm
from selfj_eval.errors import JudgeError
from selfj_eval.generation.answering import answers_to
from selfj_eval.generation.options import Sampling
from selfj_eval.generation.transformers import TransformersGenerator
from selfj_eval.training.merge import merge

TOKENS = ["<good>", "<bad>", "<unsure>"]
PROMPT = "Is <good> good, 5 <bad>?\n\n### Response:"
KINDS: dict[str, dict[str, Any]] = {
    "saved by itself": {"target_modules": ["q_proj"]},
    "to save": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "LoRA": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
}


@pytest.fixture(params=["tied", "apart"])
def judge(request: pytest.FixtureRequest, tiny_judge: Path) -> Path:
    """A base whose embeddings are its head, and one with both."""
    return JUDGE_DIR if request.param == "tied" else tiny_judge


def trained(
    base: Path, folder: Path, tokens: list[str], rows: int | None = None, **settings: Any
) -> Any:
    """An adapter as a training with new tokens leaves it, with its tokenizer; returns the model."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(tokens)
    model = AutoModelForCausalLM.from_pretrained(base)
    if tokens:
        model.resize_token_embeddings(rows or len(tokenizer))
    config = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **settings)
    tuned = get_peft_model(model, config)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn_like(parameter)
    tuned.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tuned.eval()


def wanted(model: Any, tokenizer: Path) -> torch.Tensor:
    """Log-probabilities of the digits after ``PROMPT``, straight from the trained model."""
    own = AutoTokenizer.from_pretrained(tokenizer)
    digits = [own.encode(str(k), add_special_tokens=False)[-1] for k in range(10)]
    with torch.no_grad():
        logits = model(own(PROMPT, return_tensors="pt").input_ids).logits[0, -1]
    return logits.double().log_softmax(-1)[digits]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # peft's, on embeddings that are tied
def test_an_adapter_with_tokens_of_its_own(judge: Path, kind: str, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    right = wanted(trained(judge, adapter, TOKENS, **KINDS[kind]), adapter)

    (batch,) = TransformersBackend(str(judge), adapter=str(adapter), device="cpu").score([PROMPT])
    assert batch.log_probabilities[0] == pytest.approx(right.numpy(), abs=1e-4)
    merge(adapter=adapter, output=tmp_path / "merged", base=judge)
    (batch,) = TransformersBackend(str(tmp_path / "merged"), device="cpu").score([PROMPT])
    assert batch.log_probabilities[0] == pytest.approx(right.numpy(), abs=1e-4)
    answers = TransformersGenerator(str(judge), adapter=str(adapter), device="cpu")
    assert len(answers.encode("<good>")) < len(
        TransformersGenerator(str(judge), device="cpu").encode("<good>")
    )  # one token
    (found,) = answers_to(answers, ["Is <bad> bad?"], Sampling(max_new_tokens=3))
    assert found.answers

    with pytest.raises(JudgeError, match=r"selfj merge .* or use `engine` transformers"):
        check_adapter_for_vllm(adapter, judge)


def test_more_rows_than_tokens(tiny_judge: Path, tmp_path: Path) -> None:
    """As ``pad_to_multiple_of`` leaves them."""
    model = trained(tiny_judge, tmp_path, TOKENS, rows=640, target_modules=["q_proj"])
    assert model.get_input_embeddings().weight.shape[0] == 640
    (batch,) = TransformersBackend(str(tiny_judge), adapter=str(tmp_path), device="cpu").score(
        [PROMPT]
    )
    assert batch.log_probabilities[0] == pytest.approx(wanted(model, tmp_path).numpy(), abs=1e-4)


def test_tokens_that_nobody_explains_are_refused(
    tiny_judge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "1", "instruction": "Hi", "response": "Ho"}\n')
    adapter = tmp_path / "adapter"
    trained(tiny_judge, adapter, TOKENS, target_modules=["q_proj"])
    size = AutoModelForCausalLM.from_pretrained(tiny_judge).config.vocab_size
    whole = load_file(adapter / "adapter_model.safetensors")

    def said() -> str:
        asked = ["score", str(rows), "--judge", str(tiny_judge), "--adapter", str(adapter)]
        assert main([*asked, "--output", str(tmp_path / "scores.jsonl")]) == 2
        error = capsys.readouterr().err
        assert not (tmp_path / "scores.jsonl").exists() and "Traceback" not in error
        return error

    for file in adapter.glob("token*"):
        file.unlink()
    error = said()
    assert f"brings {size + 3} token embeddings, {tiny_judge} has {size}" in error
    assert "no tokenizer" in error and "tokenizer.save_pretrained" in error
    longer = AutoTokenizer.from_pretrained(tiny_judge)
    longer.add_tokens([f"<{k}>" for k in range(9)])
    longer.save_pretrained(adapter)
    assert f"a tokenizer of {size + 9} tokens" in said()
    # Of two tables one: the rows of the other would be random.
    del whole["base_model.model.lm_head.weight"]
    save_file(whole, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    error = said()
    assert f"brings {size + 3} for embed_tokens, and for lm_head nothing" in error
    assert "save_embedding_layers=True" in error


def test_an_adapter_of_another_base_is_refused_by_name(
    tiny_judge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(JUDGE_DIR, tmp_path / "adapter", [], target_modules=["q_proj"])
    (tmp_path / "asked.jsonl").write_text('{"instruction": "Say hi."}\n')
    for command in (
        ["merge", "--adapter", str(tmp_path / "adapter"), "--base", str(tiny_judge)],
        ["generate", str(tmp_path / "asked.jsonl"), "--model", str(tiny_judge), "--adapter",
         str(tmp_path / "adapter"), "--limit=1"],
    ):  # fmt: skip
        assert main([*command, "--output", str(tmp_path / "out.json")]) == 2
        error = capsys.readouterr().err
        assert "q_proj.lora_A" in error and "torch.Size([4, 128])" in error
        assert f"It says that it was trained on {JUDGE_DIR}: give that base." in error


def test_whole_weights_that_fit_nowhere_are_refused(tiny_judge: Path, tmp_path: Path) -> None:
    trained(tiny_judge, tmp_path, [], target_modules=["q_proj"])
    weights = load_file(tmp_path / "adapter_model.safetensors")
    weights["base_model.model.score.weight"] = torch.ones(10, 48)
    save_file(weights, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        JudgeError, match=r"1 tensors have no counterpart, .*score.weight\. It says"
    ):
        TransformersBackend(str(tiny_judge), adapter=str(tmp_path), device="cpu")


@pytest.mark.parametrize("case", ["untrained", "rounded away"])
def test_a_merge_that_merges_nothing_is_an_error(
    case: str, tiny_judge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = tmp_path / "adapter"
    model = AutoModelForCausalLM.from_pretrained(tiny_judge)
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"]))
    if case == "rounded away":
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(parameter, 1e-7)
    tuned.save_pretrained(adapter)
    merged = ["merge", "--adapter", str(adapter), "--output", str(tmp_path / "merged")]
    assert main([*merged, "--dtype=bfloat16"]) == 2
    error = capsys.readouterr().err
    assert "changes nothing" in error and "merged in bfloat16" in error
    assert not (tmp_path / "merged").exists()
    # What a number format has room for is merged.
    assert main([*merged, "--dtype=float32"]) == (2 if case == "untrained" else 0)


def test_weights_of_another_shape_are_named_with_both_shapes(tmp_path: Path) -> None:
    folder = shutil.copytree(JUDGE_DIR, tmp_path / "judge")
    config = json.loads((folder / "config.json").read_text())
    size = config["intermediate_size"]
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": size * 2}))
    with pytest.raises(
        JudgeError, match=rf"down_proj.weight \(128 x {size}, not 128 x {size * 2}\)"
    ):
        TransformersBackend(str(folder), device="cpu")


def test_peft_itself_would_have_stopped_at_a_colon(tiny_judge: Path, tmp_path: Path) -> None:
    """Why the sizes are looked at first: a base that is not resized."""
    trained(tiny_judge, tmp_path, TOKENS, target_modules=["q_proj"])
    with pytest.raises(RuntimeError, match=r"^Error\(s\) in loading state_dict for .*:\n"):
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_judge), tmp_path)


def test_missing_kernels_for_weights_that_are_not_quantised_are_not_mentioned(
    tiny_judge: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """bitsandbytes says so when peft imports it; what else it says comes through."""
    trained(tiny_judge, tmp_path, [], target_modules=["q_proj"])
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    advice = "Failed to load CPU gemm_4bit_forward from kernels-community: %s. Please `pip install`"
    load = PeftModel.from_pretrained

    def loud(*args: Any, **settings: Any) -> Any:
        log.warning(advice, "No module named 'kernels'")
        log.warning("something else is wrong")
        return load(*args, **settings)

    monkeypatch.setattr(PeftModel, "from_pretrained", loud)
    with caplog.at_level(logging.WARNING, logger=log.name):
        TransformersBackend(str(tiny_judge), adapter=str(tmp_path))
        said = [record.getMessage() for record in caplog.records if record.name == log.name]
        assert said == ["something else is wrong"]
        log.warning(advice, "asked for")  # only while an adapter is loaded
    assert caplog.records[-1].getMessage().endswith("asked for. Please `pip install`")
