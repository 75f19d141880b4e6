"""Layers for the CPU give what those of transformers give."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.llama.modeling_llama import LlamaAttention

from selfj_eval.engines.local import cpu_layers
from selfj_eval.engines.local.cpu_attention import attend_along
from selfj_eval.engines.local.cpu_layers import CpuLayer, _normed
from selfj_eval.engines.local.cpu_linear import speed_up, speed_up_checked
from selfj_eval.engines.local.prefix_tree import ATTENTION, Nodes, pack, register

SMALL: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
    "initializer_range": 0.3, "pad_token_id": 0,
}  # fmt: skip
KINDS = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "llama with biases": (
        LlamaForCausalLM, LlamaConfig, {"attention_bias": True, "mlp_bias": True}
    ),
    "llama with wide heads": (LlamaForCausalLM, LlamaConfig, {"head_dim": 16}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": None}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "gelu": (LlamaForCausalLM, LlamaConfig, {"hidden_act": "gelu"}),
    "mistral with a window": (MistralForCausalLM, MistralConfig, {"sliding_window": 64}),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config, {"head_dim": 8}),
}  # fmt: skip


def model(kind: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    torch.manual_seed(1)
    made, config, more = KINDS[kind]
    found = made(config(**SMALL, **more)).to(dtype).eval()
    with torch.no_grad():  # norms and biases that would be seen if they were missing
        for name, weight in found.named_parameters():
            if "norm" in name or "bias" in name:
                weight.add_(torch.randn_like(weight) / 4)
    return found


def one_by_one(made: PreTrainedModel, rows: list[list[int]]) -> torch.Tensor:
    found = [made(torch.tensor([row]), use_cache=False).logits[0, -1:] for row in rows]
    return torch.cat(found).float()


def layers(made: PreTrainedModel) -> int:
    return sum(isinstance(part, CpuLayer) for part in made.modules())


def kernels(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each layer that attends to a packed row does so by the fused kernel."""
    used = list[bool]()

    def watched(*given: Any) -> torch.Tensor:
        used.append(given[-1])
        return attend_along(*given)

    monkeypatch.setattr(cpu_layers, "attend_along", watched)
    return used


@pytest.mark.parametrize("kind", ["llama", "llama with biases", "llama with wide heads",
                                  "mistral", "qwen2"])  # fmt: skip
def test_the_same_at_every_token(kind: str) -> None:
    """Also behind the first 1024 tokens, which are computed together, and in several rows."""
    plain = model(kind)
    fast = copy.deepcopy(plain)
    speed_up(fast)
    assert layers(fast) == 3
    ids = torch.randint(0, 50, (2, 700))
    with torch.inference_mode():
        wanted, found = plain(ids, use_cache=False).logits, fast(ids, use_cache=False).logits
    assert wanted.std() > 0.3
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=0)


@pytest.mark.parametrize("kind", ["gelu", "mistral with a window", "gemma2"])
def test_other_layers_keep_their_own_forward(kind: str) -> None:
    plain = model(kind)
    fast = copy.deepcopy(plain)
    assert speed_up(fast) > 3 and layers(fast) == 0
    ids = torch.randint(0, 50, (2, 100))
    with torch.inference_mode():
        wanted, found = plain(ids, use_cache=False).logits, fast(ids, use_cache=False).logits
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    ("dtype", "amx"), [(torch.float32, False), (torch.bfloat16, False), (torch.bfloat16, True)]
)
def test_of_a_packed_row_the_last_layer_computes_the_last_tokens(
    dtype: torch.dtype, amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With AMX, which this processor need not have, by torch's fused kernel."""
    monkeypatch.setattr(cpu_layers, "has_amx", lambda: amx)
    torch.manual_seed(2)
    start = torch.randint(0, 50, (90,)).tolist()
    rows = sorted([*start, *torch.randint(0, 50, (n,)).tolist()] for n in (20, 300, 41))
    plain = model("llama", dtype)
    fast = copy.deepcopy(plain)
    if not speed_up(fast):
        pytest.skip("oneDNN multiplies no bfloat16 on this processor")
    used = kernels(monkeypatch)
    with torch.inference_mode():
        own, exact = (one_by_one(made, rows) for made in (plain, copy.deepcopy(plain).float()))
        tree = pack(rows, 64)
        register()
        fast.set_attn_implementation(ATTENTION)
        found = fast.model(
            torch.tensor([tree.ids]), position_ids=torch.tensor([tree.positions]), use_cache=False,
            selfj_nodes=Nodes(tree, "cpu", dtype),
        ).last_hidden_state[0]  # fmt: skip
        assert len(found) == len(rows)
        found = fast.lm_head(found)
    assert used == [amx] * 3
    assert exact.std() > 0.3
    rounding = float((own - exact).abs().max())
    torch.testing.assert_close(found.float(), exact, atol=2e-4 + 2 * rounding, rtol=0)


def test_biases_far_from_zero_cost_no_precision_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They move all of a query's products with keys alike, as in judges of Qwen2's kind."""
    monkeypatch.setattr(cpu_layers, "has_amx", lambda: False)
    used = kernels(monkeypatch)
    plain = model("qwen2", torch.bfloat16)
    torch.manual_seed(3)
    with torch.no_grad():
        for layer in plain.model.layers:
            for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                part.weight.view(-1, 8, 32)[:, 3] = 0  # hardly turned by the position
                part.bias.view(-1, 8)[:, 3] = 8
    fast = copy.deepcopy(plain)
    if not speed_up(fast):
        pytest.skip("oneDNN multiplies no bfloat16 on this processor")
    rows = sorted(torch.randint(0, 50, (150,)).tolist() for _ in range(16))
    tree = pack(rows)
    register()
    with torch.inference_mode():
        own, exact = (one_by_one(made, rows) for made in (plain, copy.deepcopy(plain).float()))
        fast.set_attn_implementation(ATTENTION)
        found = fast.model(
            torch.tensor([tree.ids]), position_ids=torch.tensor([tree.positions]), use_cache=False,
            selfj_nodes=Nodes(tree, "cpu", torch.bfloat16),
        ).last_hidden_state[0]  # fmt: skip
        found = fast.lm_head(found).float()
    assert used == [True] * 3
    assert (found - exact).std() < 1.3 * (own - exact).std()


@pytest.mark.parametrize("size", [64, 576])
def test_norms_in_bfloat16_are_rounded_at_their_end(size: int) -> None:
    torch.manual_seed(0)
    x, weight = 100 * torch.randn(300, size).bfloat16(), torch.rand(size).bfloat16() + 0.5
    exact = torch.nn.functional.rms_norm(x.double(), (size,), weight.double(), 1e-5)
    found = _normed(x, weight.float(), 1e-5).double()
    assert ((found - exact) / exact.abs().clamp(min=1e-3)).abs().mean() < 2.5e-3
    # A factor that is rounded changes all of a row alike.
    assert ((found / exact).median(dim=1).values - 1).abs().max() < 2e-3


def test_a_model_that_then_says_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made, ids = model("llama"), torch.randint(0, 50, (1, 30))

    def say() -> Any:
        with torch.inference_mode():
            return made(ids, use_cache=False).logits.numpy()

    finished = CpuLayer._finished
    monkeypatch.setattr(CpuLayer, "_finished", lambda self, *given: 1.1 * finished(self, *given))
    assert not speed_up_checked(made, say, 1e-2)


def test_half_precision_without_products_stays_as_it_is() -> None:
    made = model("llama", torch.float16)
    assert speed_up(made) == 0 and layers(made) == 0


def test_a_layer_with_another_attention_keeps_its_forward() -> None:
    """As remote code makes it: of a known layer, with a part of its own."""

    class Other(LlamaAttention):
        pass

    made = model("llama")
    made.model.layers[1].self_attn.__class__ = Other
    speed_up(made)
    assert [type(layer) is CpuLayer for layer in made.model.layers] == [True, False, True]


def test_the_weights_are_not_held_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model("llama")
    layers_left, start = [weakref.ref(layer) for layer in made.model.layers], CpuLayer.__init__

    def watched(self: CpuLayer, layer: Any) -> None:
        alive.append(sum(left() is not None for left in layers_left))
        start(self, layer)

    alive: list[int] = []
    monkeypatch.setattr(CpuLayer, "__init__", watched)
    speed_up(made)
    assert alive == [3, 2, 1]


def test_without_a_head_the_mask_counts() -> None:
    """Embedders may have their padding on the left."""
    made = model("llama").model
    assert speed_up(made) == 3 * 7 and layers(made) == 0
