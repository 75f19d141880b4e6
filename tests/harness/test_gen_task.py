"""The task in which the evaluated model answers, and a judge scores its answers."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import JudgeError
from selfj_eval.demo import JUDGE_DIR
from selfj_eval.files.stamps import stamp

DEMO = {"pretrained": str(JUDGE_DIR)}


def test_a_judge_that_cannot_be_loaded_is_an_error_before_generation(
    monkeypatch: pytest.MonkeyPatch,
    load_task: Any,
) -> None:
    monkeypatch.setenv("SELFJ_JUDGE", "/no/such/judge")
    task = load_task("selfj_gen_demo", DEMO)
    with pytest.raises(JudgeError, match="no folder '/no/such/judge'"):
        task.build_all_requests(limit=1)
    monkeypatch.delenv("SELFJ_JUDGE")
    nobody = load_task("selfj_gen_demo", {**DEMO, "selfj_default_judge": None})
    with pytest.raises(JudgeError, match="needs a judge: set the environment variable SELFJ_JUDGE"):
        nobody.build_all_requests(limit=1)
    for judge in ({"model": "demo", "colour": 1}, {}, {"model": "demo", "device": 5}):
        wrong = load_task("selfj_gen_demo", {**DEMO, "selfj_judge": judge})
        with pytest.raises(
            JudgeError, match="selfj_judge must be a text or a mapping with 'model'"
        ):
            wrong.build_all_requests(limit=1)


def test_generation_without_an_instruction_or_an_answer(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    evaluate: Any,
    with_documents: Any,
    prompts_of: Any,
) -> None:
    from lm_eval.models.huggingface import HFLM

    row = {"instruction": "Add 2 and 3.", "reference": math.nan}
    rows = [row, row | {"instruction": "Give nothing."}, row | {"instruction": None}]
    rows = [r | {"id": str(at)} for at, r in enumerate(rows)]
    with_documents("demo_instructions", rows)
    # A server that answers with null content, as some do when they refuse.
    monkeypatch.setattr(
        HFLM,
        "generate_until",
        lambda self, requests, **_: [None if "nothing" in r.args[0] else "5" for r in requests],
    )
    task = "selfj_gen_demo"
    result = evaluate("hf", task, DEMO)
    assert result["results"][task]["unscored,none"] == 2
    assert "document 1, there is no answer: the response is null" in caplog.text
    assert "document 2, field 'instruction': expected text, got null" in caplog.text
    assert [s["score"] is None for s in result["samples"][task]] == [False, True, True]
    assert not re.search(r"\b(None|nan)\b", prompts_of(result, task))
    assert [s["filtered_resps"] for s in result["samples"][task]] == [["5"], [""], ["5"]]
    assert [s["target"] for s in result["samples"][task]] == ["", "", ""]


def test_a_judge_that_is_trained_anew_is_loaded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load_task: Any
) -> None:
    from safetensors.torch import load_file, save_file

    from selfj_eval.harness.gen_task import _load

    folder = tmp_path / "judge"
    shutil.copytree(JUDGE_DIR, folder)
    metadata = {"selfj_judge": str(folder)}
    first = load_task("selfj_gen_demo", metadata)._judge()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log").write_text("A file beside it, which is none of its own.")
    assert load_task("selfj_gen_demo", metadata)._judge() is first
    weights = load_file(folder / "model.safetensors")
    save_file({k: v * 1.01 for k, v in weights.items()}, folder / "model.safetensors")
    second = load_task("selfj_gen_demo", metadata)._judge()
    assert second.context != first.context
    assert _load.cache_info().maxsize == 1 and stamp("no/folder") == ()
    for wrong in ({"model": ""}, {"model": str(folder), "adapter": ""}):
        with pytest.raises(JudgeError, match="has an empty name"):
            load_task("selfj_gen_demo", {"selfj_judge": wrong})._judge()
