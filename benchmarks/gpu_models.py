"""Random Llamas, made on the device that ``gpu.py`` measures."""

from __future__ import annotations

import torch
from scoring import VOCABULARY
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

# 1b: TinyLlama's shape, whose heads share keys in groups of eight; 7b: Llama-2's.
SHAPES = {
    "1b": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
           "num_attention_heads": 32, "num_key_value_heads": 4},
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
           "num_attention_heads": 32, "num_key_value_heads": 32},
}  # fmt: skip
TINY = {
    "1b": {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 2,
           "num_attention_heads": 4, "num_key_value_heads": 2},
    "7b": {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 3,
           "num_attention_heads": 3, "num_key_value_heads": 3},
}  # fmt: skip


def llama_config(size: str, tiny: bool) -> LlamaConfig:
    """A Llama of about 1 or 7 billion parameters, or a tiny one; its logits vary by about 1."""
    shape = (TINY if tiny else SHAPES)[size]
    return LlamaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=2048,
        pad_token_id=1, bos_token_id=0, eos_token_id=1,
        initializer_range=shape["hidden_size"] ** -0.5, **shape,
    )  # fmt: skip


def parameters(config: LlamaConfig) -> dict[str, int]:
    """Numbers of weights: all, and those of the layers."""
    model = random_llama(config, "meta", torch.bfloat16)
    parts = {"parameters": model, "layer_parameters": model.model.layers}
    return {name: sum(w.numel() for w in part.parameters()) for name, part in parts.items()}


def random_llama(config: LlamaConfig, device: str, dtype: torch.dtype) -> LlamaForCausalLM:
    """A Llama with random weights that never were anywhere but on the device."""
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
