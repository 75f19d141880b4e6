"""What judging and training do on a GPU; ``benchmarks/gpu.py`` runs these tests, too."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
)

from selfj_eval.demo import JUDGE_DIR, ladder
from selfj_eval.engines.local.batching import batch_tokens
from selfj_eval.engines.local.encoder import EncoderBackend
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.generation.answering import answers_to
from selfj_eval.generation.options import Sampling
from selfj_eval.generation.transformers import TransformersGenerator
from selfj_eval.prompts.templates import get_template
from selfj_eval.raters.perplexity import PerplexityRater
from selfj_eval.records.record import Record
from selfj_eval.training.pairs import Pair, write_pairs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
DEVICE = "cuda"
HEADS = [pytest.param(4, id="own keys"), pytest.param(1, id="shared keys")]


def answers(count: int, longest: int = 9) -> list[str]:
    """Prompts of two instructions, with and without reference, each with several answers."""
    return [
        get_template("self-j").render(
            f"Add {n % 2} and 2. " * 4,
            f"It is {n}. " * (n % longest + 1),
            "Two. " * 3 if n % 3 else None,
        )
        for n in range(count)
    ]


def score(backend: TransformersBackend | EncoderBackend, texts: list[str]) -> np.ndarray:
    found = np.full((len(texts), 10), np.nan)
    for batch in backend.score(texts):
        found[batch.indices] = batch.log_probabilities
    return found


def write_judge(tokenizer: Path, folder: Path, key_heads: int) -> str:
    """A random Llama with heads as wide as those of real ones."""
    shutil.copytree(tokenizer, folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(tokenizer)), hidden_size=256,
        intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=key_heads, max_position_embeddings=2048, initializer_range=0.06,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("key_heads", HEADS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.25)])
def test_packed_prompts_score_as_one_by_one(
    tiny_judge: Path, tmp_path: Path, key_heads: int, dtype: str, tolerance: float
) -> None:
    judge = write_judge(tiny_judge, tmp_path / "judge", key_heads)
    packed = TransformersBackend(judge, device=DEVICE, dtype=dtype)
    single = TransformersBackend(judge, device=DEVICE, dtype=dtype, batch_tokens=1)
    assert packed._packs
    texts = answers(60)
    found = score(packed, texts)
    np.testing.assert_allclose(found, score(single, texts), atol=tolerance)
    exact = score(TransformersBackend(judge, device="cpu"), texts)
    np.testing.assert_allclose(found, exact, atol=tolerance)
    assert exact.std(0).max() > 0.1  # the prompts do differ


def test_a_batch_that_does_not_fit_is_halved(tiny_judge: Path, tmp_path: Path) -> None:
    judge = write_judge(tiny_judge, tmp_path / "judge", 4)
    texts = answers(300, longest=40)
    small = score(TransformersBackend(judge, device=DEVICE, batch_tokens=2000), texts)
    backend = TransformersBackend(judge, device=DEVICE, batch_tokens=1_000_000)
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved() + 64 * 2**20
    torch.cuda.set_per_process_memory_fraction(
        room / torch.cuda.get_device_properties(DEVICE).total_memory
    )
    try:
        found = score(backend, texts)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert backend._batcher.tokens < 1_000_000
    np.testing.assert_allclose(found, small, atol=0.25)


def test_a_batch_is_as_large_as_free_memory_allows() -> None:
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(DEVICE)
    hidden = free // (88 * 16_384)  # 44 bytes a token and unit of width, in half of the memory
    config: Any = SimpleNamespace(hidden_size=hidden, intermediate_size=4 * hidden)
    assert batch_tokens(config, DEVICE, 2) == pytest.approx(16_384, rel=0.1)
    held = torch.empty(free // 2, dtype=torch.uint8, device=DEVICE)
    assert batch_tokens(config, DEVICE, 2) == pytest.approx(8_192, rel=0.1)
    del held
    torch.cuda.empty_cache()


@pytest.mark.parametrize("lora_r", [8, 0], ids=["adapter", "all weights"])
def test_a_judge_is_trained(tmp_path: Path, lora_r: int) -> None:
    pytest.importorskip("datasets", reason="datasets is not installed")
    from selfj_eval.training.judge import train_judge

    records = [r for r in ladder("train", instructions=20, seed=0) if r.response.strip()]
    files = [tmp_path / name for name in ("ref.jsonl", "noref.jsonl")]
    pairs = [
        Pair(r.id, r.instruction, r.response, r.reference, int(r.rating or 0)) for r in records
    ]
    write_pairs(files[0], files[1], pairs)
    found = train_judge(
        base=str(JUDGE_DIR), train_ref=str(files[0]), train_noref=str(files[1]),
        output=str(tmp_path / "trained"), lora_r=lora_r, batch_size=8, gradient_accumulation=1,
        max_steps=24, warmup_steps=2, logging_steps=4, learning_rate=1e-2 if lora_r else 1e-3,
    )  # fmt: skip
    losses = [line["loss"] for line in found.history if "loss" in line]
    assert np.isfinite(losses).all() and losses[-1] < 0.8 * losses[0]
    trained = str(tmp_path / "trained")
    options = {"model": "demo", "adapter": trained} if lora_r else {"model": trained}
    texts = answers(12)
    new = score(TransformersBackend(**options, device=DEVICE), texts)
    assert np.isfinite(new).all()
    assert np.abs(new - score(TransformersBackend("demo", device=DEVICE), texts)).max() > 0.1


def test_an_encoder_judge_scores_as_on_a_cpu(tiny_judge: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_judge)
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=768, initializer_range=0.5,
        num_labels=10, id2label=dict(enumerate("3071592648")), pad_token_id=1,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    gpu, cpu = (
        score(EncoderBackend(str(tmp_path), device=device, dtype="float32"), answers(24))
        for device in (DEVICE, "cpu")
    )
    np.testing.assert_allclose(gpu, cpu, atol=1e-3)


def test_answers_are_those_of_a_cpu_and_random_numbers_stay(tiny_judge: Path) -> None:
    texts = ["Hi.", "Sort ascending: 7, 3, 9.", "word " * 60]
    gpu, cpu = (
        answers_to(
            TransformersGenerator(str(tiny_judge), device=device, dtype="float32"),
            texts, Sampling(max_new_tokens=12),
        )
        for device in (DEVICE, "cpu")
    )  # fmt: skip
    assert gpu == cpu
    generator = TransformersGenerator(str(tiny_judge), device=DEVICE)
    before = torch.cuda.get_rng_state(DEVICE)
    drawn = [
        answers_to(generator, texts, Sampling(n=2, temperature=1.0, max_new_tokens=12))
        for _ in range(2)
    ]
    assert drawn[0] == drawn[1]
    assert torch.equal(torch.cuda.get_rng_state(DEVICE), before)


def test_perplexities_are_those_of_a_cpu(tiny_judge: Path) -> None:
    records = [
        Record("1", "Sort ascending: 7, 3, 9.", "3, 7, 9"),
        Record("2", "Tell a story.", "Once upon a time there was a king. " * 6),
    ]
    gpu, cpu = (
        PerplexityRater(str(tiny_judge), device=device, dtype="float32", log=True).judge(records)
        for device in (DEVICE, "cpu")
    )
    assert [judgment.score for judgment in gpu] == pytest.approx(
        [judgment.score for judgment in cpu], abs=1e-3
    )
