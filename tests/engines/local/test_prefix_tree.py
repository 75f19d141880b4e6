"""Packing: every prompt is there once, what it shares is computed once, the scores stay."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from selfj_eval.engines.local import prefix_tree
from selfj_eval.engines.local.prefix_tree import LEAST_SHARED, pack, tree_batches
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.templates import get_template


def best_of(count: int = 12) -> list[str]:
    """Prompts of two instructions, with and without reference, each with several answers."""
    template = get_template("self-j")
    return [
        template.render(
            f"Add {k % 2} and 2. " * 4, f"It is {k}. " * (k % 5 + 1), "Two. " * 3 if k % 3 else None
        )
        for k in range(count)
    ]


ROWS = st.lists(
    st.builds(
        lambda cuts, own: [token for cut in cuts for token in range(cut, cut + 10)] + own,
        st.lists(st.sampled_from([0, 20]), max_size=4),
        st.lists(st.integers(0, 3), min_size=1, max_size=12),
    ),
    min_size=1,
    max_size=30,
)


@given(ROWS, st.integers(1, 120))
def test_every_row_is_there_and_what_is_shared_stands_once(
    rows: list[list[int]], batch_tokens: int
) -> None:
    seen = []
    for batch in tree_batches(rows, batch_tokens):
        seen += batch
        own = [rows[at] for at in batch]
        tree = pack(own)
        most = max(batch_tokens, len(own[0]) + batch_tokens // 8)
        assert len(own) == 1 or len(tree.ids) < most + LEAST_SHARED * len(own)
        assert len(tree.ids) == len(tree.positions) == sum(n.end - n.start for n in tree.nodes)
        at_end = {node.end - 1: node for node in tree.nodes}
        for row, last in zip(own, tree.last, strict=True):
            node = at_end[last]
            places = [*node.before, (node.start, node.end)]
            assert [t for start, end in places for t in tree.ids[start:end]] == row
            assert [p for a, b in places for p in tree.positions[a:b]] == list(range(len(row)))
        assert len(set(tree.last)) == len(own)  # a token of its own for each
        for one, other in pairwise(own):
            common = next(
                (k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
                min(len(one), len(other)),
            )
            if common > LEAST_SHARED:
                assert len(tree.ids) < sum(map(len, own))
    assert sorted(seen) == list(range(len(rows)))


def test_rows_that_share_nearly_all_of_a_long_one_are_in_its_batch() -> None:
    """Of a prompt longer than a batch: its criteria, or the tokens of its labels."""
    long = list(range(10_000))
    rows = [[*long, own] for own in range(5)] + [[*long[:100], *range(900)]]
    batches = [sorted(batch) for batch in tree_batches(rows, 4096)]
    assert [0, 1, 2, 3, 4] in batches and [5] in batches


def test_a_long_chain_of_beginnings_is_packed() -> None:
    rows = [list(range(n)) for n in range(10, 12_000, 10)]
    tree = pack(rows)
    assert len(tree.ids) < 2 * 12_000


def scores(backend: TransformersBackend, texts: list[str]) -> np.ndarray:
    found = np.full((len(texts), 10), np.nan)
    for batch in backend.score(texts):
        found[batch.indices] = batch.log_probabilities
    return found


def one_by_one(folder: Path, texts: list[str]) -> np.ndarray:
    backend = TransformersBackend(str(folder), device="cpu", batch_tokens=1)
    return np.concatenate([scores(backend, [text]) for text in texts])


SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.5}  # fmt: skip


def model(kind: str, size: int) -> PreTrainedModel:
    torch.manual_seed(1)
    if kind == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=size, n_positions=768, n_embd=32, n_layer=2, n_head=2,
                       bos_token_id=0, eos_token_id=1, initializer_range=0.5)
        )  # fmt: skip
    if kind == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(vocab_size=size, **SMALL))
    if kind == "bloom":  # takes no attention but its own, and does not say so
        return BloomForCausalLM(
            BloomConfig(vocab_size=size, hidden_size=32, n_layer=2, n_head=2, initializer_range=0.5)
        )
    if kind == "gemma3":  # its window stands in the configuration of its text model
        text = Gemma3TextConfig(
            vocab_size=size, head_dim=8, sliding_window=64, layer_types=["sliding_attention"] * 2,
            max_position_embeddings=768, **SMALL,
        )  # fmt: skip
        return Gemma3ForCausalLM(text)
    if kind == "gemma2":
        return Gemma2ForCausalLM(
            Gemma2Config(vocab_size=size, head_dim=8, attn_logit_softcapping=2.0, pad_token_id=1,
                         **SMALL)
        )  # fmt: skip
    window = {"mistral": None, "mistral with a window": 32, "mistral with a long one": 256}[kind]
    return MistralForCausalLM(
        MistralConfig(vocab_size=size, sliding_window=window, max_position_embeddings=768, **SMALL)
    )


@pytest.mark.parametrize(
    ("kind", "packs"),
    [("gpt2", True), ("qwen2", True), ("mistral", True), ("mistral with a window", False),
     ("mistral with a long one", True), ("gemma2", False), ("bloom", False), ("gemma3", True)],
)  # fmt: skip
def test_packed_is_as_one_by_one(tiny_judge: Path, tmp_path: Path, kind: str, packs: bool) -> None:
    folder = tmp_path / "judge"
    shutil.copytree(tiny_judge, folder)
    model(kind, len(AutoTokenizer.from_pretrained(folder))).save_pretrained(folder)
    backend = TransformersBackend(str(folder), device="cpu", batch_tokens=3000)
    assert backend._packs == packs
    alone = one_by_one(folder, best_of())
    np.testing.assert_allclose(scores(backend, best_of()), alone, atol=1e-4)
    # The smallest budget as well: one prompt at a time, and a few.
    some = TransformersBackend(str(folder), device="cpu", batch_tokens=500)
    np.testing.assert_allclose(scores(some, best_of()), alone, atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "qwen2"])
def test_long_rows_are_attended_to_in_pieces(
    tiny_judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """So that no mask grows with the square of a prompt."""
    folder = tmp_path / "judge"
    shutil.copytree(tiny_judge, folder)
    model(kind, len(AutoTokenizer.from_pretrained(folder))).save_pretrained(folder)
    backend = TransformersBackend(str(folder), device="cpu", batch_tokens=3000)
    texts = best_of() + [text.replace("It is", "It is, I think, " * 20) for text in best_of(2)]
    whole = scores(backend, texts)
    monkeypatch.setattr("selfj_eval.engines.local.transformers.CPU_PIECE", 16)
    monkeypatch.setattr(prefix_tree, "_KEPT_MASK", 16 * 64)
    np.testing.assert_allclose(scores(backend, texts), whole, atol=1e-4)
    tree = pack(sorted(backend._tokenizer.rows(texts)), 16)
    assert max(node.end - node.start for node in tree.nodes if node.before) == 16


def test_in_half_precision_no_answer_is_seen_by_another(tiny_judge: Path, tmp_path: Path) -> None:
    """A model that ignores the packing differs little enough there to pass for rounding."""
    folder = tmp_path / "judge"
    shutil.copytree(tiny_judge, folder)
    model("bloom", len(AutoTokenizer.from_pretrained(folder))).save_pretrained(folder)
    for judge, packs in ((folder, False), (tiny_judge, True)):
        backend = TransformersBackend(str(judge), device="cpu", dtype="bfloat16")
        assert backend._packs == packs
        texts = best_of(4)
        others = [texts[0], *(text.replace("It is", "Or so") for text in texts[1:])]
        one, other = scores(backend, texts)[0], scores(backend, others)[0]
        np.testing.assert_allclose(one, other, atol=0.1)


@pytest.mark.parametrize("cpu", [True, False])
def test_a_batch_that_does_not_fit_into_memory_is_halved(
    tiny_judge: Path, monkeypatch: pytest.MonkeyPatch, cpu: bool
) -> None:
    backend = TransformersBackend(str(tiny_judge), device="cpu", batch_tokens=100_000)
    whole, sizes = scores(backend, best_of()), []
    forward = type(backend)._forward_tree

    def limited(self: TransformersBackend, rows: list[list[int]]) -> np.ndarray:
        sizes.append(len(rows))
        if len(rows) > 4:
            text = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
            raise RuntimeError(text) if cpu else torch.OutOfMemoryError("out of memory")
        return forward(self, rows)

    monkeypatch.setattr(type(backend), "_forward_tree", limited)
    np.testing.assert_allclose(scores(backend, best_of()), whole, atol=1e-4)
    failed = [size for size in sizes if size > 4]
    assert sum(sizes) - sum(failed) == 12 and failed[0] == 12 and len(failed) < 5
    # What was learnt is kept: the next batches fit at once.
    sizes.clear()
    np.testing.assert_allclose(scores(backend, best_of()), whole, atol=1e-4)
    assert max(sizes) <= 4


def test_one_prompt_that_does_not_fit_says_so(
    tiny_judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = TransformersBackend(str(tiny_judge), device="cpu")

    def full(self: TransformersBackend, rows: list[list[int]]) -> np.ndarray:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(type(backend), "_forward_tree", full)
    with pytest.raises(JudgeError, match=r"one prompt of \d+ tokens on cpu; lower `max_tokens`"):
        scores(backend, best_of())


def test_other_failures_are_no_lack_of_memory(
    tiny_judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = TransformersBackend(str(tiny_judge), device="cpu")

    def broken(self: TransformersBackend, rows: list[list[int]]) -> np.ndarray:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(type(backend), "_forward_tree", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        scores(backend, best_of())
