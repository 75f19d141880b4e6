"""``benchmarks/llama_cpp.py``: what is missing is named, and the file holds the same model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "llama_cpp.py"
SAME_LOGITS = """
import sys
from pathlib import Path
import torch
from transformers import LlamaConfig, LlamaForCausalLM
sys.path.insert(0, sys.argv[1])
from llama_cpp import write_gguf

torch.manual_seed(0)
ids = torch.arange(20)[None]
for tied in (True, False):
    folder = Path(sys.argv[2]) / str(tied)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=tied,
    )).eval()
    model.save_pretrained(folder)
    for dtype, allowed in (("float32", 1e-6), ("bfloat16", 1e-2)):
        write_gguf(folder, dtype, folder / "made.gguf")
        made = LlamaForCausalLM.from_pretrained(
            folder, gguf_file="made.gguf", dtype=torch.float32
        ).eval()
        difference = float((made(ids).logits - model(ids).logits).abs().max())
        assert difference <= allowed, (tied, dtype, difference)
"""


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options], capture_output=True, text=True, timeout=300
    )  # fmt: skip


def test_help() -> None:
    done = run(str(SCRIPT), "--help")
    assert done.returncode == 0, done.stderr
    assert "--python" in done.stdout


@pytest.mark.parametrize("python", ["bare", "nowhere"])
def test_a_missing_llama_cpp_is_named_with_the_way_to_install_it(
    python: str, tmp_path: Path
) -> None:
    interpreter = tmp_path / python
    if python == "bare":  # an interpreter without packages
        interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
        interpreter.chmod(0o755)
    done = run(str(SCRIPT), "--python", str(interpreter))
    assert done.returncode == 1
    assert f"llama-cpp-python is not installed in the environment of {interpreter}" in done.stderr
    assert f"{interpreter} -m pip install llama-cpp-python" in done.stderr


def test_the_file_holds_the_same_model(tmp_path: Path) -> None:
    done = run("-c", SAME_LOGITS, str(BENCHMARKS), str(tmp_path))
    assert done.returncode == 0, done.stderr
