"""LoRA adapters in vLLM: which it takes, and that they count."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.models.adapters import check_adapter_for_vllm
from selfj_eval.engines.vllm.scoring import VllmBackend
from selfj_eval.errors import JudgeError

installed = importlib.util.find_spec("vllm") is not None
with_vllm = pytest.mark.skipif(not installed, reason="vLLM is not installed here: tox -e vllm")
ROOM = {"kv_cache_memory_bytes": 1 << 27}  # many tests, one process
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapter(folder: Path, to: Path, **settings: Any) -> Path:
    torch.manual_seed(2)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tuned = get_peft_model(base, LoraConfig(r=4, lora_alpha=16, **settings))
    for name, parameter in tuned.named_parameters():
        if "lora_" in name and ("_B" in name or "_magnitude" in name):
            torch.nn.init.normal_(parameter, std=0.1)
    tuned.save_pretrained(to)
    return to


def renamed(to: Path, *change: str) -> Path:
    weights = load_file(to / "adapter_model.safetensors")
    other = {name.replace(*change, 1): tensor for name, tensor in weights.items()}
    save_file(other, to / "adapter_model.safetensors", metadata={"format": "pt"})
    return to


@pytest.mark.parametrize("targets", [TARGETS, ["embed_tokens"], ["lm_head", "q_proj"]])
def test_an_adapter_that_fits(small: Path, tmp_path: Path, targets: list[str]) -> None:
    check_adapter_for_vllm(adapter(small, tmp_path, target_modules=targets), small)
    # Some files name a model's parts without the model.
    check_adapter_for_vllm(renamed(tmp_path, "model.model.", "model."), small)


@pytest.mark.parametrize("change", [(".layers.", ".blocks."), (".layers.2", ".layers.3")])
def test_an_adapter_that_does_not_fit(small: Path, tmp_path: Path, change: tuple[str, str]) -> None:
    renamed(adapter(small, tmp_path, target_modules=["q_proj"]), *change)
    number = 6 if "blocks" in change[1] else 2
    with pytest.raises(JudgeError, match=f"does not fit .*: {number} tensors have no counterpart"):
        check_adapter_for_vllm(tmp_path, small)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"version 1\noid sha256:00\n")
    with pytest.raises(JudgeError, match="adapter_model.safetensors are damaged .* Git LFS"):
        check_adapter_for_vllm(tmp_path, small)


@with_vllm
def test_lora_adapter(
    small: Path,
    tmp_path: Path,
    engine: VllmBackend,
    prompts: Callable[..., list[str]],
    score: Callable[..., np.ndarray],
) -> None:
    folder = str(adapter(small, tmp_path, target_modules=TARGETS, rank_pattern={"q_proj": 9}))
    tuned = VllmBackend(str(small), adapter=folder, engine_args=ROOM)
    ours = TransformersBackend(str(small), adapter=folder, device="cpu")
    got = score(tuned, prompts())
    np.testing.assert_allclose(got, score(ours, prompts()), atol=1e-4)
    assert np.abs(got - score(engine, prompts())).max() > 0.1
    assert tuned.identity["adapter"] == ours.identity["adapter"] != engine.identity["adapter"]


@with_vllm
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, r"cannot put the adapter .* does not yet support DoRA.*selfj merge"),
        ({"modules_to_save": ["lm_head"]}, r"brings whole weights .*lm_head.*selfj merge"),
        ({"rank_pattern": {"q_proj": 600}}, r"has rank 600, more than vLLM's 512"),
    ],
)
def test_adapters_that_vllm_does_not_take(
    small: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    adapter(small, tmp_path, target_modules=["q_proj"], **settings)
    with pytest.raises(JudgeError, match=message):
        VllmBackend(str(small), adapter=str(tmp_path), engine_args=ROOM)
