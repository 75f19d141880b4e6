"""Files that belong to others of the same program: requests, questions, references, answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import DataError, read_records
from selfj_eval.records.notices import Notices


def test_requests_of_a_batch_are_found_by_what_they_hold(tmp_path: Path, copied: Any) -> None:
    path = copied("chat/openai-batch-output.jsonl", tmp_path)
    asked = path.with_name("openai-batch-input.jsonl")
    asked.rename(path.with_name("a.jsonl"))
    assert len(read_records(path)) == 2
    shutil.copy(path.with_name("a.jsonl"), path.with_name("b.jsonl"))
    with pytest.raises(DataError, match=r"a\.jsonl and b\.jsonl both contain this request"):
        read_records(path)
    for name in ("a.jsonl", "b.jsonl"):
        path.with_name(name).unlink()
    with pytest.raises(DataError, match="file beside this one contains it"):
        read_records(path)


def test_companions_are_never_found_by_names_from_the_data(tmp_path: Path, copied: Any) -> None:
    path = copied("mt-bench/model_judgment/gpt-4_single.jsonl", tmp_path)
    shutil.copy(tmp_path / "mt-bench/model_answer/model-a.jsonl", tmp_path / "mt-bench/out.jsonl")
    path.write_text(path.read_text().replace('"model-a"', '"../out"'))
    with pytest.raises(DataError, match=r"the answers of '../out' are not there"):
        read_records(path)


def test_no_turn_is_judged_after_one_that_failed(tmp_path: Path, copied: Any, written: Any) -> None:
    path = copied("mt-bench/model_judgment/gpt-4_single.jsonl", tmp_path)
    judged = [record.id for record in read_records(path)]
    answers = tmp_path / "mt-bench/model_answer/model-a.jsonl"
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    question = rows[0]["question_id"]
    assert {f"{question}-model-a-{turn}" for turn in (1, 2)} <= set(judged)
    rows[0]["choices"][0]["turns"][0] = "$ERROR$"
    written(answers, *rows)
    notices = Notices()
    left = [record.id for record in read_records(path, notices=notices)]
    assert left == [own for own in judged if not own.startswith(f"{question}-model-a-")]
    assert "skipped, an earlier turn failed: 1" in "; ".join(notices.sentences())


def test_a_fault_in_the_references_names_their_file(
    tmp_path: Path, copied: Any, written: Any
) -> None:
    path = copied("mt-bench/model_answer/model-a.jsonl", tmp_path)
    references = tmp_path / "mt-bench/reference_answer/gpt-4.jsonl"
    rows = [json.loads(line) for line in references.read_text().splitlines()]
    written(references, *({**row, "choices": []} for row in rows))
    with pytest.raises(DataError, match=r"reference_answer/gpt-4\.jsonl, line 1, field 'choices'"):
        read_records(path)


def test_a_missing_question_file_is_named(tmp_path: Path, copied: Any) -> None:
    path = copied("mt-bench/model_answer/model-a.jsonl", tmp_path)
    (tmp_path / "mt-bench/question.jsonl").unlink()
    with pytest.raises(DataError, match=r"the questions are not there: .*question\.jsonl"):
        read_records(path)
