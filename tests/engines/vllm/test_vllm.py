"""Judges in vLLM: what is decided without it, and its scores beside those of transformers."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfj_eval import Judge, Record
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.vllm import scoring
from selfj_eval.engines.vllm.loading import CPU_BLOCK_SIZE, CPU_CACHE_BYTES, stdout_is_stderr
from selfj_eval.engines.vllm.scoring import VllmBackend
from selfj_eval.errors import JudgeError

installed = importlib.util.find_spec("vllm") is not None
with_vllm = pytest.mark.skipif(not installed, reason="vLLM is not installed here: tox -e vllm")
ROOM = {"kv_cache_memory_bytes": 1 << 27}  # many tests, one process


# What is decided without vLLM


@pytest.mark.skipif(installed, reason="vLLM is installed")
def test_without_vllm_the_way_out_is_named() -> None:
    with pytest.raises(JudgeError, match=r"of its own \(docs/install.md\). Or use `engine` trans"):
        VllmBackend("no/such/judge-is-looked-for", engine_args={})
    with pytest.raises(JudgeError, match=r"vLLM cannot be imported \(No module named 'vllm'\)"):
        Judge.load("demo", engine="vllm", engine_args={"tensor_parallel_size": 2})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dtype", "use `dtype`"),
        ("model", "it is the judge itself"),
        ("trust_remote_code", "use `trust_remote_code`"),
        ("enable_lora", "use `adapter`"),
        ("load_format", "weights are loaded from safetensors only"),
        ("tokenizer", "it is decided by how judging works. Leave it out"),
        ("logprobs_mode", "it is decided by how judging works. Leave it out"),
        ("hf_token", "it is decided by how judging works. Leave it out"),
        ("data_parallel_size", r"one replica.*`engine` ray.*vllm serve, with data parallelism"),
    ],
)
def test_arguments_that_are_decided_elsewhere(name: str, message: str) -> None:
    with pytest.raises(JudgeError, match=f"vLLM's {name} cannot be given: .*{message}"):
        VllmBackend("demo", engine_args={name: "x"})


def test_what_is_printed_while_loading_does_not_reach_stdout(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="loading"), stdout_is_stderr():
        print("python")
        os.write(1, b"library\n")
        subprocess.run(["echo", "process"], check=True)
        raise ValueError("loading failed")
    print("result")
    out, err = capfd.readouterr()
    assert out == "result\n"
    assert sorted(err.split()) == ["library", "process", "python"]


# What vLLM answers


@with_vllm
def test_equals_transformers(
    engine: VllmBackend,
    reference: TransformersBackend,
    monkeypatch: pytest.MonkeyPatch,
    prompts: Callable[..., list[str]],
    score: Callable[..., np.ndarray],
) -> None:
    texts = prompts()
    lengths = [len(engine.tokenize(text)) for text in texts]
    assert min(lengths) < 250 < 500 < max(lengths) <= engine.max_tokens
    wanted = score(reference, texts)
    np.testing.assert_allclose(score(engine, texts), wanted, atol=1e-4)
    monkeypatch.setattr(scoring, "CHUNK", 50)
    assert [len(batch.indices) for batch in engine.score(texts)] == [50, 50, 20]
    np.testing.assert_allclose(score(engine, texts), wanted, atol=1e-4)
    assert list(engine.score([])) == []
    assert dict(engine.usage) == {}


@with_vllm
def test_the_demo_judge_equals_transformers(records: Callable[..., list[Record]]) -> None:
    asked = records()
    ours = Judge.load("demo", device="cpu").judge(asked)
    judge = Judge.load("demo", engine="vllm", engine_args=ROOM)
    theirs = judge.judge(asked)
    for a, b in zip(ours[:-1], theirs[:-1], strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-4)
        assert (a.score, a.digit_mass) == pytest.approx((b.score, b.digit_mass), abs=1e-4)
        assert (a.reference_used, a.trimmed_tokens) == (b.reference_used, b.trimmed_tokens)
    assert judge.max_tokens == 1023  # vLLM counts its one token in the model's 1024
    assert theirs[-1].trimmed_tokens > 0
    assert theirs[-1].score is not None


@with_vllm
def test_a_gguf_file_equals_its_folder_in_transformers(
    small: Path,
    tmp_path: Path,
    write_gguf: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    prompts: Callable[..., list[str]],
    score: Callable[..., np.ndarray],
) -> None:
    monkeypatch.setenv("SELFJ_MODELS", str(tmp_path))
    model = AutoModelForCausalLM.from_pretrained(small, dtype=torch.float32)
    file = write_gguf(tmp_path / "judge.gguf", model, AutoTokenizer.from_pretrained(small))
    texts = prompts(20)
    ours = score(VllmBackend(str(file), engine_args=ROOM), texts)
    theirs = score(TransformersBackend(str(file), device="cpu"), texts)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@with_vllm
def test_prompts_that_begin_alike_are_computed_once(
    engine: VllmBackend, prompts: Callable[..., list[str]]
) -> None:
    engine._llm.reset_prefix_cache()
    rows = sorted(engine._tokenizer.tokenizer(prompts()).input_ids)
    cached = [output.num_cached_tokens for output in engine._run(rows)]
    shared = [
        next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
        for a, b in pairwise(rows)
    ]
    assert sum(cached) > 0.5 * sum(shared) > 0
    assert all(n % CPU_BLOCK_SIZE == 0 for n in cached)


@with_vllm
def test_arguments_reach_vllm(
    small: Path,
    reference: TransformersBackend,
    prompts: Callable[..., list[str]],
    score: Callable[..., np.ndarray],
) -> None:
    given = {"block_size": 64, "max_model_len": 300, "enable_prefix_caching": False,
             "max_num_seqs": 3, "kv_cache_dtype": "fp8_e5m2"}  # fmt: skip
    backend = VllmBackend(str(small), engine_args=ROOM | given)
    config = backend._llm.llm_engine.vllm_config
    assert (config.cache_config.block_size, config.model_config.max_model_len) == (64, 300)
    assert config.cache_config.enable_prefix_caching is False
    assert config.scheduler_config.max_num_seqs == 3
    assert backend.identity["kv_cache_dtype"] == '"fp8_e5m2"'
    assert set(backend.identity) == {"model", "adapter", "dtype", "engine", "kv_cache_dtype"}
    assert backend.max_tokens == 299
    texts = [text for text in prompts() if len(backend.tokenize(text)) < 300]
    difference = np.abs(score(backend, texts) - score(reference, texts)).max()
    assert 1e-3 < difference < 5  # a format that does decide numbers


@with_vllm
def test_the_longest_prompt_is_judged_and_a_longer_one_cut(
    engine: VllmBackend, reference: TransformersBackend, score: Callable[..., np.ndarray]
) -> None:
    text = "7" * (engine.max_tokens - 1)  # and the token that begins every prompt
    assert len(engine.tokenize(text)) == engine.max_tokens == reference.max_tokens - 1 == 767
    np.testing.assert_allclose(score(engine, [text]), score(reference, [text]), atol=1e-4)
    judged = Judge(engine).judge([Record("1", "Count.", "One, two. " * 900)])
    assert judged[0].score is not None
    assert judged[0].trimmed_tokens > 1000
    with pytest.raises(JudgeError, match=r"vLLM failed while judging: .*768.* finished is kept\."):
        list(engine.score([text + "7"]))
    np.testing.assert_allclose(score(engine, [text]), score(reference, [text]), atol=1e-4)


@with_vllm
def test_what_suits_a_cpu_is_the_default(
    small: Path,
    engine: VllmBackend,
    prompts: Callable[..., list[str]],
    score: Callable[..., np.ndarray],
) -> None:
    config = engine._llm.llm_engine.vllm_config
    if config.device_config.device_type != "cpu":
        pytest.skip("vLLM does not run on the CPU here")
    assert (engine.identity["dtype"], engine.identity["engine"]) == ("float32", "vllm")
    assert config.model_config.enforce_eager
    assert config.cache_config.block_size == CPU_BLOCK_SIZE
    assert config.cache_config.enable_prefix_caching
    assert config.cache_config.kv_cache_memory_bytes == ROOM["kv_cache_memory_bytes"]
    whole = VllmBackend(str(small), engine_args={}, dtype="bfloat16")
    cache = whole._llm.llm_engine.vllm_config.cache_config
    assert cache.kv_cache_memory_bytes == CPU_CACHE_BYTES
    assert whole.identity == {**engine.identity, "dtype": "bfloat16"}
    difference = np.abs(score(whole, prompts(9)) - score(engine, prompts(9))).max()
    assert 0 < difference < 3
    del whole
    gc.collect()  # does not take down what the other one stands on
    assert not np.isnan(score(engine, prompts(9))).any()


@with_vllm
@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"tensor-parallel-size": 2}, r"no argument 'tensor-parallel-size'; is it tensor_parallel"),
        ({"bogus": 1}, r"no argument 'bogus'\. They are listed by: python -c"),
        ({"tensor_parallel_size": "two"}, r"cannot load .*tensor_parallel_size: Input should be a"),
        ({"max_model_len": 4000}, r"cannot load .*max_model_len \(4000\) is greater"),
        ({"kv_cache_memory_bytes": 1000}, r"cannot load .*No available memory for the cache"),
        ({"quantization": "int1"}, r"cannot load .*Unknown quantization method: int1"),
    ],
)
def test_arguments_that_vllm_refuses(small: Path, args: dict[str, Any], message: str) -> None:
    with pytest.raises(JudgeError, match=message) as caught:
        VllmBackend(str(small), engine_args=ROOM | args)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


@with_vllm
def test_a_quantised_checkpoint(
    small: Path,
    tmp_path: Path,
    engine: VllmBackend,
    prompts: Callable[..., list[str]],
    score: Callable[..., np.ndarray],
) -> None:
    folder = shutil.copytree(small, tmp_path / "int8")
    quantised = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        quantised[name] = weight
        if name.endswith("_proj.weight"):
            scale = weight.abs().amax(1, keepdim=True) / 127
            quantised[name] = (weight / scale).round().to(torch.int8)
            quantised[f"{name}_scale"] = scale
    save_file(quantised, folder / "model.safetensors", metadata={"format": "pt"})
    eight = {"num_bits": 8, "type": "int", "symmetric": True}
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "ignore": ["lm_head"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": eight | {"strategy": "channel", "dynamic": False},
                "input_activations": eight | {"strategy": "token", "dynamic": True},
            }
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    backend = VllmBackend(str(folder), engine_args=ROOM)
    assert backend._llm.llm_engine.model_config.quantization == "compressed-tensors"
    assert backend.identity["model"] != engine.identity["model"]
    got, exact = score(backend, prompts()), score(engine, prompts())
    assert 1e-3 < np.abs(got - exact).max() < 3
    assert np.corrcoef(got.ravel(), exact.ravel())[0, 1] > 0.95


# From the command line


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, records: Callable[..., list[Record]]) -> Path:
    path = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    rows = [
        {"id": r.id, "instruction": r.instruction, "response": r.response, "reference": r.reference}
        for r in records(5)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@with_vllm
@pytest.mark.parametrize("parallel", [1, 2])
def test_score_prints_nothing_but_its_json(
    command: Callable[..., subprocess.CompletedProcess[str]],
    answers: Path,
    tmp_path: Path,
    parallel: int,
    records: Callable[..., list[Record]],
) -> None:
    bind = {}
    if parallel > 1:
        if len(os.sched_getaffinity(0)) < 2:
            pytest.skip("one processor core")
        bind["VLLM_CPU_OMP_THREADS_BIND"] = "|".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
    output = tmp_path / "scores.jsonl"
    done = command(
        "selfj", "score", answers, "--judge", "demo", "--output", output, "--json",
        "--engine", "vllm", "--engine-arg", "kv_cache_memory_bytes=134217728",
        "--engine-arg", f"tensor_parallel_size={parallel}", timeout=900, **bind,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["scored"], summary["unscored"]) == (5, 0)
    assert "Traceback" not in done.stderr
    wanted = Judge.load("demo", device="cpu").judge(records(5))
    got = [json.loads(line)["score"] for line in output.read_text().splitlines()]
    assert got == pytest.approx([judgment.score for judgment in wanted], abs=1e-4)
    run = json.loads((tmp_path / "scores.jsonl.run.json").read_text())
    assert run["judge"]["identity"]["engine"] == "vllm"
