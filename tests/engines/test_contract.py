"""What every backend owes: the same judge and prompts give the same scores, each prompt once."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfj_eval import Judge, Record
from selfj_eval.demo import JUDGE_DIR, ladder
from selfj_eval.engines.base import Backend
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.open_engine import open_backend
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.engines.server.openai import OpenAIBackend
from selfj_eval.prompts.templates import get_template

EXACT = 1e-4
BACKENDS = {
    "transformers": EXACT,
    "transformers, padded": EXACT,
    "transformers, bfloat16": 0.15,
    "server, exact": EXACT,
    "server, likeliest": EXACT,
    "vllm": EXACT,
    "vllm, its server": EXACT,
    "llama_cpp, its server": EXACT,
    "llama-server, its server": 1e-3,  # it adds up all probabilities in float32
}


@pytest.fixture(scope="module")
def prompts() -> list[str]:
    """Short, long, not ASCII, empty answers; instructions with several answers; one twice."""
    records = ladder("test", instructions=6)[:24]
    records += [Record("e", "Sage es.", ""), Record("u", "写一首诗。", "春眠不觉晓 " * 20, "🙂 é")]
    records += [Record("l", "Count.", " ".join(map(str, range(120))))]
    template = get_template("self-j")
    made = [template.render(r.instruction, r.response, r.reference) for r in records]
    return [*made, made[3]]


@pytest.fixture(scope="module")
def expected(prompts: list[str]) -> np.ndarray:
    """A forward pass a prompt, written out."""
    tokenizer = AutoTokenizer.from_pretrained(JUDGE_DIR)
    model = AutoModelForCausalLM.from_pretrained(JUDGE_DIR, dtype=torch.float32).eval()
    digits = [tokenizer.convert_tokens_to_ids(digit) for digit in "0123456789"]
    rows = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.inference_mode():
            rows.append(model(ids).logits[0, -1].double().log_softmax(-1)[digits].numpy())
    return np.stack(rows)


@pytest.fixture(scope="module", params=BACKENDS)
def made(
    request: pytest.FixtureRequest, serve: Callable[[str, str, Path], str]
) -> Iterator[tuple[Backend, float]]:
    name = request.param
    backend: Backend
    if name.startswith("server"):
        args = {"base_url": request.getfixturevalue("judge_server")}
        if name == "server, exact":
            args["tokenizer"] = "demo"
        kind = "vllm" if name == "server, exact" else "llama"
        more = {} if kind == "vllm" else {"top_logprobs": 4000}
        backend = OpenAIBackend.with_args(f"demo+{kind}", "self-j", {**args, **more})
    elif name.endswith("its server"):
        pytest.importorskip("openai", reason="the extra openai is not installed")
        program = name.partition(",")[0]
        url = serve(program, "demo", JUDGE_DIR)
        top = {} if program == "vllm" else {"top_logprobs": 2048}
        args = {"base_url": url, "tokenizer": "demo", **top}
        backend = OpenAIBackend.with_args("demo", "self-j", args)
        assert (backend.identity["logprobs"] == "exact") == (program == "vllm")
    elif name == "vllm":
        if importlib.util.find_spec("vllm") is None:
            pytest.skip("vLLM is not installed here: tox -e vllm")
        backend = open_backend("demo", JudgeOptions(engine="vllm"))
    else:
        dtype = "bfloat16" if "bfloat16" in name else "float32"
        backend = TransformersBackend("demo", device="cpu", dtype=dtype, batch_tokens=700)
        if "padded" in name:
            backend._packs = False
    yield backend, BACKENDS[name]


def test_scores(made: tuple[Backend, float], prompts: list[str], expected: np.ndarray) -> None:
    backend, tolerance = made
    found = np.full((len(prompts), 10), np.nan)
    seen: list[int] = []
    for batch in backend.score(prompts):
        assert batch.log_probabilities.dtype == np.float64 and not batch.reasons
        found[batch.indices] = batch.log_probabilities
        seen += batch.indices
    assert sorted(seen) == list(range(len(prompts)))
    likely = expected > -12  # what a server lists, and what number formats keep
    np.testing.assert_allclose(found[likely], expected[likely], atol=tolerance)
    assert likely.mean() > 0.5 and (found <= 0).all()
    again = next(iter(backend.score(prompts[5:6])))
    np.testing.assert_allclose(again.log_probabilities[0], found[5], atol=tolerance)
    assert list(backend.score([])) == []


def test_what_the_judge_needs(made: tuple[Backend, float]) -> None:
    backend, _ = made
    assert all(isinstance(v, str) for v in backend.identity.values())
    assert {"model", "adapter"} <= backend.identity.keys()
    assert not any("/" in value for value in backend.identity.values())
    spans = backend.tokenize("Rate this: 7 or 8?")
    assert all(0 <= a <= b <= 18 for a, b in spans) and max(b for _, b in spans) == 18
    assert all(value >= 0 for value in backend.usage.values())
    # Longer than the context: trimmed by the judge, so that every backend takes it.
    judge = Judge(backend, max_tokens=900)
    (judgment,) = judge.judge([Record("1", "Say more.", "word and " * 5000)])
    assert judgment.score is not None and judgment.trimmed_tokens > 0
