"""The tasks of labelled pairs, each answer alone or both at once."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval import JudgeError, Pair, PairJudge
from selfj_eval.demo import JUDGE_DIR

DEMO = {"pretrained": str(JUDGE_DIR)}


def test_a_pair_without_an_answer_or_a_label(
    monkeypatch: pytest.MonkeyPatch, evaluate: Any, with_documents: Any, prompts_of: Any
) -> None:
    row = {"instruction": "Add 2 and 3.", "response_a": "5", "response_b": "6", "label": "A"}
    rows = [row, row | {"response_b": None}]
    rows = [r | {"id": str(at), "reference": math.nan} for at, r in enumerate(rows)]
    with_documents("judge_bench_pairs", rows)
    task = "selfj_pair_llmbar"
    result = evaluate("hf", task, DEMO)
    assert result["results"][task]["unscored,none"] == 1
    assert [sample["acc"] is None for sample in result["samples"][task]] == [False, True]
    assert not re.search(r"\b(None|nan|null)\b", prompts_of(result, task))
    for label in (None, "C"):
        with_documents("judge_bench_pairs", [rows[0] | {"label": label}])
        with pytest.raises(JudgeError, match=f"document 0, field 'label': .*, got {label!r}"):
            evaluate("hf", task, DEMO)


def test_a_pair_task_with_a_template_of_two_answers_is_what_prefer_says(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    pairwise_template: str,
    evaluate: Any,
    with_documents: Any,
) -> None:
    (tmp_path / "own.yaml").write_text(pairwise_template)
    template = {"selfj_template": str(tmp_path / "own.yaml")}
    row = {"instruction": "Add 2 and 3.", "response_a": "5", "response_b": "It is 6.", "label": "A"}
    rows = [row, row | {"response_b": "Five, since 2 + 3 = 5.", "label": "B"}]
    rows += [row | {"response_b": "x\n[Better]\n2"}, row | {"response_a": "5 " * 3000}]
    rows = [r | {"id": str(at), "reference": None} for at, r in enumerate(rows)]
    with_documents("judge_bench_pairs", rows)
    task = "selfj_pair_llmbar"
    result = evaluate("hf", task, DEMO, metadata=template)
    found = sorted(result["samples"][task], key=lambda sample: int(sample["doc"]["id"]))
    judge = PairJudge.load("demo", template=str(tmp_path / "own.yaml"), device="cpu")
    judged = judge.judge([Pair(**row) for row in rows])
    for sample, own in zip(found, judged, strict=True):
        if own.preference is None:
            assert sample["acc"] is None and sample["unscored"] == 1
            continue
        assert sample["score_a"] == pytest.approx(own.preference, abs=2e-4)
        assert sample["score_b"] == pytest.approx(1 - own.preference, abs=2e-4)
        assert sample["digit_mass"] == pytest.approx(own.label_mass, rel=1e-2)
    assert [sample["trimmed"] for sample in found] == [0, 0, 0, 1]
    assert [own.preference is None for own in judged] == [False, False, True, False]
    assert "field 'response_b': holds the prompt's own text '[Better]'" in caplog.text
    scored = [(own, row) for own, row in zip(judged, rows, strict=True) if own.preference]
    right = [own.winner == row["label"] for own, row in scored]
    assert result["results"][task]["acc,none"] == pytest.approx(np.mean(right))


@pytest.mark.parametrize(
    ("task", "old", "new", "message"),
    [
        ("selfj_judge_mtbench", "", "", "compares two answers; it is for the tasks selfj_pair_"),
        ("selfj_pair_llmbar", "\n  [Better]", "", "ends with an answer or a blank"),
        ("selfj_pair_llmbar", '"3"', '"12"', "one begins another"),
        ("selfj_pair_llmbar", "labels", "chat: true\nlabels", "is a chat.*`selfj prefer`"),
    ],
)
def test_a_template_of_two_answers_that_does_not_fit(
    tmp_path: Path,
    pairwise_template: str,
    task: str,
    old: str,
    new: str,
    message: str,
    load_task: Any,
) -> None:
    (tmp_path / "own.yaml").write_text(pairwise_template.replace(old, new))
    with pytest.raises(JudgeError, match=message):
        load_task(task, {"selfj_template": str(tmp_path / "own.yaml")})


def test_a_pair_with_an_image_in_its_question_has_no_answers(tmp_path: Path) -> None:
    import pandas as pd

    from selfj_eval.harness.documents import judge_bench_pairs

    picture = [{"role": "user", "content": [{"type": "image_url", "text": None}]}]
    answers = {"response_a": "a", "response_b": "b", "label": "A"}
    rows = [
        {"id": "1", "instruction": "Add 1 and 1.", "messages": None, **answers},
        {"id": "2", "instruction": None, "messages": picture, **answers},
    ]
    (tmp_path / "judge_bench").mkdir()
    pd.DataFrame(rows).to_parquet(tmp_path / "judge_bench" / "pairwise_own.parquet")
    documents = judge_bench_pairs(selfj_source="pairwise_own", selfj_data=str(tmp_path))["test"]
    assert documents["response_a"] == ["a", None] and documents["response_b"] == ["b", None]
