"""What the tests of vLLM share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from selfj_eval import Record
from selfj_eval.engines.base import Backend
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.vllm.scoring import VllmBackend
from selfj_eval.prompts.templates import get_template

ROOM = {"kv_cache_memory_bytes": 1 << 27}  # many tests, one process


@pytest.fixture(scope="module")
def small(tiny_judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny judge with heads of 32: the attention of vLLM on a CPU knows no smaller ones."""
    folder = tmp_path_factory.mktemp("small") / "judge"
    shutil.copytree(tiny_judge, folder)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(folder)), hidden_size=48, head_dim=32,
        intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=768, initializer_range=0.3, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(small: Path) -> VllmBackend:
    pytest.importorskip("vllm", reason="vLLM is not installed here: tox -e vllm")
    return VllmBackend(str(small), engine_args=ROOM)


@pytest.fixture(scope="module")
def reference(small: Path) -> TransformersBackend:
    return TransformersBackend(str(small), device="cpu")


@pytest.fixture(scope="session")
def prompts() -> Callable[..., list[str]]:
    """Prompts of very different lengths, half of them with a reference; none begins the file."""

    def make(n: int = 120) -> list[str]:
        found = [
            get_template("self-j").render(
                f"Add {i} and {i % 7}.",
                f"It is {i + i % 7}. " * (i % 13 * 4 + 1),
                f"{i + i % 7}, of course." if i % 2 else None,
            )
            for i in range(n)
        ]
        return found[::-1]

    return make


@pytest.fixture(scope="session")
def score() -> Callable[..., np.ndarray]:
    """All of a backend's log-probabilities, prompt by prompt."""

    def make(backend: Backend, texts: list[str]) -> np.ndarray:
        result = np.full((len(texts), 10), np.nan)
        seen: list[int] = []
        for batch in backend.score(texts):
            result[batch.indices] = batch.log_probabilities
            seen += batch.indices
        assert sorted(seen) == list(range(len(texts)))
        return result

    return make


@pytest.fixture(scope="session")
def records() -> Callable[..., list[Record]]:
    """Records, each longer than the one before."""

    def make(n: int = 6) -> list[Record]:
        return [
            Record(
                str(i),
                f"Add {i} and 4.",
                f"It is {i + 4}. " * 50 * i,
                str(i + 4) if i % 2 else None,
            )
            for i in range(n)
        ]

    return make
