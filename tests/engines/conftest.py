"""GGUF files, written as llama.cpp's converter writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Format
from gguf import GGUFWriter
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def tensors_of(model: PreTrainedModel) -> dict[str, np.ndarray]:
    """A model's weights by their names in GGUF, with rotary halves in llama.cpp's order."""
    config = model.config
    arch = next(k for k, name in gguf.MODEL_ARCH_NAMES.items() if name == config.model_type)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    found = {}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        array = weight.float().numpy()
        part = name.split(".")[-2]
        if config.model_type == "llama" and part in heads:
            halves = array.reshape(heads[part], 2, -1, *array.shape[1:])
            array = halves.swapaxes(1, 2).reshape(array.shape)
        found[names.get_name(name, (".weight", ".bias"))] = array
    return found


def as_stored(array: np.ndarray, form: Format) -> np.ndarray:
    """The bytes of a tensor; only matrices are in the format."""
    if array.ndim < 2 or form == Format.F32:
        return array.astype(np.float32)
    return gguf.quantize(array, form)


def written(
    file: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    form: Format = Format.F32,
    *,
    fields: Mapping[str, Any] | None = None,
    tensors: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = lambda t: t,
    pre: str | None = "gpt-2",
    scores: list[float] | None = None,
) -> Path:
    """A GGUF file of a model of the architectures llama, qwen2 or qwen3.

    Args:
        file: Where to.
        model, tokenizer: What it holds.
        form: Number format of its matrices.
        fields: More fields, or others.
        tensors: What is done to the tensors before.
        pre: How text is split, of a byte-level BPE; None for sentencepiece.
        scores: Of sentencepiece's tokens.
    """
    config, arch = model.config, model.config.model_type
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    ids = tokenizer.get_vocab()
    special = {t["content"] for t in state["added_tokens"] if t["special"]}
    tokens = sorted(ids, key=ids.__getitem__)
    given: dict[str, Any] = {
        f"{arch}.context_length": config.max_position_embeddings,
        f"{arch}.embedding_length": config.hidden_size,
        f"{arch}.block_count": config.num_hidden_layers,
        f"{arch}.feed_forward_length": config.intermediate_size,
        f"{arch}.attention.head_count": config.num_attention_heads,
        f"{arch}.attention.head_count_kv": config.num_key_value_heads,
        f"{arch}.attention.key_length": head,
        f"{arch}.attention.value_length": head,
        f"{arch}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        f"{arch}.rope.freq_base": config.rope_parameters["rope_theta"],
        f"{arch}.rope.dimension_count": head,
        f"{arch}.vocab_size": config.vocab_size,
        "tokenizer.ggml.model": "llama" if pre is None else "gpt2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token in special else 1 for token in tokens],
        "tokenizer.ggml.bos_token_id": tokenizer.bos_token_id,
        "tokenizer.ggml.eos_token_id": tokenizer.eos_token_id,
    }
    if pre is None:
        given["tokenizer.ggml.scores"] = scores
    else:
        merges = [m if isinstance(m, str) else " ".join(m) for m in state["model"]["merges"]]
        given |= {"tokenizer.ggml.pre": pre, "tokenizer.ggml.merges": merges}
    writer = GGUFWriter(file, arch)
    for name, value in (given | dict(fields or {})).items():
        _add(writer, name, value)
    for name, array in tensors(tensors_of(model)).items():
        whole = name == "rope_freqs.weight"
        own = Format.F32 if array.ndim < 2 or whole else form
        writer.add_tensor(name, as_stored(array, own), raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture(scope="session")
def write_gguf() -> Callable[..., Path]:
    """``written``."""
    return written


def _add(writer: GGUFWriter, name: str, value: Any) -> None:
    if value is None:
        return
    add = {
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        str: writer.add_string,
        list: writer.add_array,
    }[type(value)]
    if name == "general.architecture":  # the writer has put it first
        writer.kv_data[0].pop(name)
    add(name, value)
