"""lm-eval's ``use_cache``: answers are used again, and only those of the same judge."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from selfj_eval import JudgeError
from selfj_eval.engines.base import Batch
from selfj_eval.harness import answer_cache
from selfj_eval.harness.model import SelfJLM


def answers(result: dict[str, Any], task: str) -> list[Any]:
    """(log-probability, is_greedy) of every request, by document."""
    return [sample["filtered_resps"] for sample in result["samples"][task]]


def test_cached_answers_are_used_and_only_what_is_missing_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluate: Any, assert_same: Any
) -> None:
    task, cache = "selfj_judge_demo", tmp_path / "cache"
    options: dict[str, Any] = {"limit": 4, "use_cache": str(cache), "cache_requests": True}
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path))
    first = evaluate("selfj", task, {"pretrained": "demo"}, **options)
    scored: list[str] = []
    batches = SelfJLM._batches

    def recorded(self: SelfJLM, texts: Sequence[str]) -> Iterator[Batch]:
        scored.extend(texts)
        return batches(self, texts)

    monkeypatch.setattr(SelfJLM, "_batches", recorded)
    assert_same(evaluate("selfj", task, {"pretrained": "demo"}, **options), first, task)
    assert scored == []
    with sqlite3.connect(f"{cache}_rank0.db") as database:
        # And one row that says whose they are.
        assert database.execute("SELECT count(*) FROM unnamed").fetchone() == (41,)
        keys = [row[0] for row in database.execute("SELECT key FROM unnamed LIMIT 3")]
        database.executemany("DELETE FROM unnamed WHERE key = ?", [(key,) for key in keys])
    assert_same(evaluate("selfj", task, {"pretrained": "demo"}, **options), first, task)
    assert 1 <= len(scored) <= 3


def test_the_answers_kept_for_another_judge_are_refused(
    tiny_judge: Path, tmp_path: Path, evaluate: Any, assert_same: Any
) -> None:
    task, other = "selfj_judge_demo", {"pretrained": str(tiny_judge)}
    options: dict[str, Any] = {"limit": 2, "use_cache": str(tmp_path / "ours")}
    first = evaluate("selfj", task, {"pretrained": "demo"}, **options)
    with pytest.raises(JudgeError, match=r"ours_rank0\.db has the answers of another model"):
        evaluate("selfj", task, other, **options)
    # The stock model asks no cache whose answers it holds: the task does.
    with pytest.raises(JudgeError, match=r"another model \(.*class: None, now HFLM"):
        evaluate("hf", task, other, **options)
    assert_same(evaluate("selfj", task, {"pretrained": "demo"}, **options), first, task)


def test_a_stock_models_answers_are_known_by_its_files(
    tiny_judge: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    evaluate: Any,
) -> None:
    task, options = "selfj_judge_demo", {"limit": 2, "use_cache": str(tmp_path / "stock")}
    copy = tmp_path / "copy"
    shutil.copytree(tiny_judge, copy)
    first = evaluate("hf", task, {"pretrained": str(tiny_judge)}, **options)
    moved = evaluate("hf", task, {"pretrained": str(copy)}, **options)
    assert answers(moved, task) == answers(first, task)
    weights = load_file(copy / "model.safetensors")
    save_file({k: v * 1.01 for k, v in weights.items()}, copy / "model.safetensors")
    with pytest.raises(JudgeError, match=r"another model \(pretrained: .*Name another file for"):
        evaluate("hf", task, {"pretrained": str(copy)}, **options)
    with sqlite3.connect(tmp_path / "stock_rank0.db") as database:
        database.execute("DELETE FROM unnamed WHERE key = 'selfj_model'")  # by an older version
    hashed: list[Path] = []
    real = answer_cache.fingerprint
    monkeypatch.setattr(answer_cache, "fingerprint", lambda at: hashed.append(at) or real(at))
    answer_cache._fingerprint.cache_clear()
    evaluate("hf", f"{task},selfj_judge_demo_noref", {"pretrained": str(tiny_judge)}, **options)
    assert caplog.text.count("stock_rank0.db does not say which model its answers are from") == 1
    assert hashed == [tiny_judge]
