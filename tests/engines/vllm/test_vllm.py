from __future__ import annotations

import gc
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from selfj_eval import Judge, Record
from selfj_eval.engines.base import Backend
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.models.adapters import check_adapter_for_vllm
from selfj_eval.engines.vllm import scoring
from selfj_eval.engines.vllm.loading import CPU_BLOCK_SIZE, CPU_CACHE_BYTES, stdout_is_stderr
from selfj_eval.engines.vllm.scoring import VllmBackend
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.templates import get_template

installed = importlib.util.find_spec("vllm") is not None
with_vllm = pytest.mark.skipif(not installed, reason="vLLM is not installed here: tox -e vllm")
ROOM = {"kv_cache_memory_bytes": 1 << 27}  # many tests, one process
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


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


def prompts(n: int = 120) -> list[str]:
    """Prompts of very different lengths, half of them with a reference; none begins the file."""
    found = [
        get_template("self-j").render(
            f"Add {i} and {i % 7}.",
            f"It is {i + i % 7}. " * (i % 13 * 4 + 1),
            f"{i + i % 7}, of course." if i % 2 else None,
        )
        for i in range(n)
    ]
    return found[::-1]


def score(backend: Backend, texts: list[str]) -> np.ndarray:
    result = np.full((len(texts), 10), np.nan)
    seen: list[int] = []
    for batch in backend.score(texts):
        result[batch.indices] = batch.log_probabilities
        seen += batch.indices
    assert sorted(seen) == list(range(len(texts)))
    return result


def records(n: int = 6) -> list[Record]:
    return [
        Record(
            str(i), f"Add {i} and 4.", f"It is {i + 4}. " * 50 * i, str(i + 4) if i % 2 else None
        )
        for i in range(n)
    ]


def adapter(folder: Path, to: Path, **settings: Any) -> Path:
    torch.manual_seed(2)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tuned = get_peft_model(base, LoraConfig(r=4, lora_alpha=16, **settings))
    for name, parameter in tuned.named_parameters():
        if "lora_" in name and ("_B" in name or "_magnitude" in name):
            torch.nn.init.normal_(parameter, std=0.1)
    tuned.save_pretrained(to)
    return to


def renamed(to: Path, *change: str) -> Path:
    weights = load_file(to / "adapter_model.safetensors")
    other = {name.replace(*change, 1): tensor for name, tensor in weights.items()}
    save_file(other, to / "adapter_model.safetensors", metadata={"format": "pt"})
    return to


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


@pytest.mark.parametrize("targets", [TARGETS, ["embed_tokens"], ["lm_head", "q_proj"]])
def test_an_adapter_that_fits(small: Path, tmp_path: Path, targets: list[str]) -> None:
    check_adapter_for_vllm(adapter(small, tmp_path, target_modules=targets), small)
    # Some files name a model's parts without the model.
    check_adapter_for_vllm(renamed(tmp_path, "model.model.", "model."), small)


@pytest.mark.parametrize("change", [(".layers.", ".blocks."), (".layers.2", ".layers.3")])
def test_an_adapter_that_does_not_fit(small: Path, tmp_path: Path, change: tuple[str, str]) -> None:
    renamed(adapter(small, tmp_path, target_modules=["q_proj"]), *change)
    number = 6 if "blocks" in change[1] else 2
    with pytest.raises(JudgeError, match=f"does not fit .*: {number} tensors have no counterpart"):
        check_adapter_for_vllm(tmp_path, small)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"version 1\noid sha256:00\n")
    with pytest.raises(JudgeError, match="adapter_model.safetensors are damaged .* Git LFS"):
        check_adapter_for_vllm(tmp_path, small)


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
    engine: VllmBackend, reference: TransformersBackend, monkeypatch: pytest.MonkeyPatch
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
def test_the_demo_judge_equals_transformers() -> None:
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
    small: Path, tmp_path: Path, write_gguf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFJ_MODELS", str(tmp_path))
    model = AutoModelForCausalLM.from_pretrained(small, dtype=torch.float32)
    file = write_gguf(tmp_path / "judge.gguf", model, AutoTokenizer.from_pretrained(small))
    texts = prompts(20)
    ours = score(VllmBackend(str(file), engine_args=ROOM), texts)
    theirs = score(TransformersBackend(str(file), device="cpu"), texts)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@with_vllm
def test_lora_adapter(small: Path, tmp_path: Path, engine: VllmBackend) -> None:
    folder = str(adapter(small, tmp_path, target_modules=TARGETS, rank_pattern={"q_proj": 9}))
    tuned = VllmBackend(str(small), adapter=folder, engine_args=ROOM)
    ours = TransformersBackend(str(small), adapter=folder, device="cpu")
    got = score(tuned, prompts())
    np.testing.assert_allclose(got, score(ours, prompts()), atol=1e-4)
    assert np.abs(got - score(engine, prompts())).max() > 0.1
    assert tuned.identity["adapter"] == ours.identity["adapter"] != engine.identity["adapter"]


@with_vllm
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, r"cannot put the adapter .* does not yet support DoRA.*selfj merge"),
        ({"modules_to_save": ["lm_head"]}, r"brings whole weights .*lm_head.*selfj merge"),
        ({"rank_pattern": {"q_proj": 600}}, r"has rank 600, more than vLLM's 512"),
    ],
)
def test_adapters_that_vllm_does_not_take(
    small: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    adapter(small, tmp_path, target_modules=["q_proj"], **settings)
    with pytest.raises(JudgeError, match=message):
        VllmBackend(str(small), adapter=str(tmp_path), engine_args=ROOM)


@with_vllm
def test_prompts_that_begin_alike_are_computed_once(engine: VllmBackend) -> None:
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
def test_arguments_reach_vllm(small: Path, reference: TransformersBackend) -> None:
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
    engine: VllmBackend, reference: TransformersBackend
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
def test_what_suits_a_cpu_is_the_default(small: Path, engine: VllmBackend) -> None:
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
def test_a_quantised_checkpoint(small: Path, tmp_path: Path, engine: VllmBackend) -> None:
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


# What is no number


def damaged(small: Path, to: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> str:
    shutil.copytree(small, to)
    weights = load_file(to / "model.safetensors")
    change(weights)
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return str(to)


@with_vllm
def test_nan_is_unscored(small: Path, tmp_path: Path) -> None:
    def broken(weights: dict[str, torch.Tensor]) -> None:
        weights["lm_head.weight"][5] = float("nan")

    backend = VllmBackend(damaged(small, tmp_path / "nan", broken), engine_args=ROOM)
    judgments = Judge(backend).judge(records(3))
    assert [judgment.score for judgment in judgments] == [None] * 3
    assert all("no finite probability to any digit" in (j.error or "") for j in judgments)


@with_vllm
def test_a_missing_tensor_is_an_error(small: Path, tmp_path: Path) -> None:
    def cut(weights: dict[str, torch.Tensor]) -> None:
        del weights["model.norm.weight"]

    folder = damaged(small, tmp_path / "cut", cut)
    with pytest.raises(JudgeError, match=r"cannot load .*model\.norm\.weight"):
        VllmBackend(folder, engine_args=ROOM)


@with_vllm
def test_encoders_are_for_another_engine(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(JudgeError, match=r"is an encoder judge; use `engine` transformers\."):
        VllmBackend(str(tmp_path), engine_args=ROOM)


@pytest.fixture
def tampered(engine: VllmBackend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Changes what vLLM answered before the backend sees it."""
    generate = engine._llm.generate

    def with_change(change: Callable[[list[Any]], None]) -> None:
        def changed(*args: Any, **options: Any) -> list[Any]:
            outputs: list[Any] = generate(*args, **options)
            change(outputs)
            return outputs

        monkeypatch.setattr(engine._llm, "generate", changed)

    yield with_change


@with_vllm
def test_missing_digits_are_unscored_with_the_reason(
    engine: VllmBackend, tampered: Callable[..., None]
) -> None:
    def change(outputs: list[Any]) -> None:
        for digit in (3, 8):
            del outputs[0].outputs[0].logprobs[0][engine._tokenizer.labels.asked[digit]]
        outputs[1].outputs[0].logprobs = []
        outputs[1].outputs[0].finish_reason = "abort"

    tampered(change)
    judgments = Judge(engine).judge(records(4))
    errors = sorted(judgment.error for judgment in judgments if judgment.error)
    assert errors == [
        "vLLM gave no log-probabilities (it finished with: abort); judge it again.",
        "vLLM gave no log-probability for 3, 8; judge it again.",
    ]
    assert sum(judgment.score is None for judgment in judgments) == 2


@with_vllm
@pytest.mark.parametrize("change", [list.pop, list.reverse], ids=["too few", "another order"])
def test_answers_to_something_else_are_an_error(
    engine: VllmBackend, tampered: Callable[..., None], change: Callable[[list[Any]], None]
) -> None:
    tampered(change)
    with pytest.raises(JudgeError, match=r"not the 5 that it was asked.*finished is kept"):
        list(engine.score(prompts(5)))


# From the command line


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
