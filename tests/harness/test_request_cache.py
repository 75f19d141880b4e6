"""lm-eval's ``cache_requests``: prompts that would be others now are not taken from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.demo import JUDGE_DIR

DEMO = {"pretrained": str(JUDGE_DIR)}


def test_request_cache_sees_changed_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluate: Any
) -> None:
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path))
    options: dict[str, Any] = {"limit": 2, "cache_requests": True, "log_samples": True}
    first = evaluate("hf", "selfj_judge_demo", DEMO, **options)
    again = evaluate("hf", "selfj_judge_demo", DEMO, **options)
    other = evaluate("hf", "selfj_judge_demo", DEMO, metadata={"selfj_reference": False}, **options)

    def prompt(result: dict[str, Any]) -> str:
        return str(result["samples"]["selfj_judge_demo"][0]["arguments"][0][0])

    assert prompt(first) == prompt(again)
    assert "[Reference]" in prompt(first)
    assert "[Reference]" not in prompt(other)


def test_request_cache_sees_samples_and_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load_task: Any
) -> None:
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path))
    other = tmp_path / "other"
    shutil.copytree(JUDGE_DIR, other)
    state = json.loads((other / "tokenizer.json").read_text())
    state["normalizer"] = {"type": "Lowercase"}
    (other / "tokenizer.json").write_text(json.dumps(state))
    keys = []
    monkeypatch.setattr(
        "lm_eval.api.task.save_to_cache", lambda file_name, obj: keys.append(file_name)
    )
    for metadata, samples in (
        (DEMO, None),
        (DEMO, [3, 5]),
        (DEMO, [7]),
        (DEMO | {"selfj_tokenizer": str(other)}, None),
    ):
        load_task("selfj_judge_demo", metadata).build_all_requests(
            samples=samples, cache_requests=True, rank=0, world_size=1
        )
    assert len(set(keys)) == 4


def test_request_cache_sees_changed_labels(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pairwise_template: str,
    load_task: Any,
    with_documents: Any,
) -> None:
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path))
    keys = []
    monkeypatch.setattr(
        "lm_eval.api.task.save_to_cache", lambda file_name, obj: keys.append(file_name)
    )
    row = {"id": "0", "instruction": "q", "response_a": "5", "response_b": "6", "label": "A"}
    with_documents("judge_bench_pairs", [row])
    texts = pairwise_template.rpartition("labels:")[0]
    for labels in ('{"1": 1, "2": 0}', '{"2": 1, "1": 0}'):
        (tmp_path / "own.yaml").write_text(f"{texts}labels: {labels}")
        load_task(
            "selfj_pair_llmbar", DEMO | {"selfj_template": str(tmp_path / "own.yaml")}
        ).build_all_requests(cache_requests=True, rank=0, world_size=1)
    assert len(set(keys)) == 2
