"""Answers as long as a model's context: judged whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from selfj_eval import Judge, Record
from selfj_eval.engines.models.tokenizer import JudgeTokenizer


@pytest.fixture(scope="module")
def long_judge(tiny_judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama with a context of 131,072 tokens."""
    folder = Path(shutil.copytree(tiny_judge, tmp_path_factory.mktemp("long") / "judge"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(folder)), hidden_size=8, intermediate_size=16,
        num_hidden_layers=1, num_attention_heads=1, max_position_embeddings=131_072,
        initializer_range=0.6,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_an_answer_of_100_000_characters_is_judged_whole(long_judge: Path) -> None:
    judge = Judge.load(str(long_judge), device="cpu")
    assert judge.max_tokens == 131_072
    answer = "It is 5, and so on. " * 5000
    assert len(answer) == 100_000
    record = Record("1", "Say more.", answer)
    prompt = judge.prompt(record)
    assert prompt.trimmed_tokens == 0 and answer in prompt.text
    assert len(judge.backend.tokenize(prompt.text)) > 8 * 4096
    changed = Record("2", "Say more.", answer[:50_000] + "No, 7!" * 200 + answer[51_200:])
    one, other = judge.judge([record, changed])
    assert one.score is not None and other.score is not None
    assert one.trimmed_tokens == other.trimmed_tokens == 0
    assert one.score != other.score


def test_the_longest_prompt_may_be_set_lower(long_judge: Path) -> None:
    judge = Judge.load(str(long_judge), device="cpu", max_tokens=4096)
    (judgment,) = judge.judge([Record("1", "Say more.", "It is 5. " * 9000)])
    assert judge.max_tokens == 4096 and judgment.trimmed_tokens > 4096
    assert judge.key(Record("1", "q", "a")) != Judge(judge.backend).key(Record("1", "q", "a"))


def test_the_context_is_the_limit(tiny_judge: Path) -> None:
    assert JudgeTokenizer(str(tiny_judge)).max_tokens == 768
