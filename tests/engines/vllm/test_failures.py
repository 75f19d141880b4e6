"""What vLLM cannot load, and answers of it that are no scores."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from selfj_eval import Judge, Record
from selfj_eval.engines.vllm.scoring import VllmBackend
from selfj_eval.errors import JudgeError

installed = importlib.util.find_spec("vllm") is not None
with_vllm = pytest.mark.skipif(not installed, reason="vLLM is not installed here: tox -e vllm")
ROOM = {"kv_cache_memory_bytes": 1 << 27}  # many tests, one process


def damaged(small: Path, to: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> str:
    shutil.copytree(small, to)
    weights = load_file(to / "model.safetensors")
    change(weights)
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return str(to)


@with_vllm
def test_nan_is_unscored(small: Path, tmp_path: Path, records: Callable[..., list[Record]]) -> None:
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
    engine: VllmBackend, tampered: Callable[..., None], records: Callable[..., list[Record]]
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
    engine: VllmBackend,
    tampered: Callable[..., None],
    change: Callable[[list[Any]], None],
    prompts: Callable[..., list[str]],
) -> None:
    tampered(change)
    with pytest.raises(JudgeError, match=r"not the 5 that it was asked.*finished is kept"):
        list(engine.score(prompts(5)))
