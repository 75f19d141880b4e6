"""Conversations of which each turn is judged, and rows that hold no answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import DataError, Record, read_records, score
from selfj_eval.records.notices import Notices
from selfj_eval.records.pairs import read_pairs


def said(text: str, role: str = "assistant") -> dict[str, str]:
    return {"role": role, "content": text}


def test_each_turn_of_a_conversation(formats: Path) -> None:
    path, notices = formats / "chat/openai-finetune.jsonl", Notices()
    records = {r.id: r for r in read_records(path, turns="all", notices=notices)}
    # A call of a tool is no answer; a picture is unscored; a user who thanks needs none.
    assert list(records) == ["0-1", "1-1", "1-2", "2-1", "3-2", "4-1"]
    assert records["1-1"].response == "Hill, lake, fjord."
    assert records["1-1"].messages is None
    assert records["1-2"].messages == read_records(path)[1].messages
    assert records["2-1"].error is not None
    assert notices.why_left_out() == []
    with pytest.raises(DataError, match="`turns` all is for conversations"):
        read_records(formats / "mt-bench/model_answer/model-a.jsonl", turns="all")
    with pytest.raises(DataError, match="`turns` all is for"):
        read_records(formats / "chat/alpaca.json", turns="all")


def test_a_reference_and_a_rating_are_those_of_the_last_turn(tmp_path: Path, written: Any) -> None:
    asked = said("And 2 more?", "user")
    row = {"messages": [said("Add 1 and 1.", "user"), said("2"), asked, said("5")]}
    row |= {"id": "x", "reference": "4", "rating": 2.0, "rating_min": 1, "rating_max": 5}
    row |= {"raters": [{"rater": "r", "rating": 2.0}], "model": "m"}
    notices = Notices()
    first, last = read_records(written(tmp_path / "x.jsonl", row), turns="all", notices=notices)
    assert first == Record("x-1", "Add 1 and 1.", "2", model="m")
    assert (last.id, last.reference, last.rating, last.rating_max) == ("x-2", "4", 2.0, 5.0)
    assert last.raters is not None
    assert "turns before the last one, without its reference and rating: 1" in notices.sentences()


def test_a_row_without_an_answer_is_counted(tmp_path: Path, written: Any) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]}  # fmt: skip
    rows = [{"messages": [said("Hello?", "user"), *more]} for more in ([said("Hi.")], [], [call])]
    notices = Notices()
    read_records(written(tmp_path / "x.jsonl", *rows), turns="all", notices=notices)
    why = "no turn of the assistant's holds an answer to judge"
    assert f"skipped, {why}: 2 (first line 2)" in notices.sentences()

    answer = {"response": "2", "model": "m"}
    both = [{"id": k, "instruction": "Add.", "completions": k * [answer]} for k in (1, 0)]
    notices = Notices()
    assert len(read_records(written(tmp_path / "u.jsonl", *both), notices=notices)) == 1
    assert "skipped, no answers (completions is empty): 1 (line 2)" in notices.sentences()

    asked = {"custom_id": "a", "body": {"messages": [said("Hello?", "user")]}}
    written(tmp_path / "asked.jsonl", asked)
    body = {"model": "m", "choices": []}
    given = {"custom_id": "a", "response": {"status_code": 200, "body": body}, "error": None}
    with pytest.raises(DataError, match=r"holds no records; skipped, the request gave no answer"):
        read_records(written(tmp_path / "out.jsonl", given))


def test_a_file_of_which_nothing_is_left_says_why_and_no_more(tmp_path: Path, written: Any) -> None:
    path = written(tmp_path / "x.jsonl", {"id": 1, "messages": [said("Hello?", "user")]})
    expected = (
        f"{path}: holds no records; skipped, the last turn is the user's: there is no answer to "
        "judge: 1 (line 1)."
    )
    for read in (read_records, lambda file: score(file, judge="length")):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value) == expected
    with pytest.raises(DataError, match=r"^there are no records; skipped, the last turn is the"):
        score([{"id": 1, "messages": [said("Hello?", "user")]}], judge="length")
    row = {"prompt": [said("Be brief.", "system")], "chosen": "a", "rejected": "b", "x": 1}
    pairs = written(tmp_path / "pairs.jsonl", row)
    with pytest.raises(DataError) as caught:
        read_pairs(pairs)
    why = "skipped, no user turn before the answer: 1 (line 1)"
    assert str(caught.value) == f"{pairs}: holds no pairs; {why}."
    with pytest.raises(DataError, match="`selfj prefer` compares them; here each row is one answ"):
        read_records(pairs)


def test_turns_on_the_command_line(tmp_path: Path, in_process: Any, formats: Path) -> None:
    source, output = formats / "chat/openai-finetune.jsonl", tmp_path / "scores.jsonl"
    done = in_process(
        *("selfj", "score", source, "--judge", "demo", "--output", output, "--turns", "all")
    )
    assert done.returncode == 1  # one was not judged
    rows = {row["id"]: row for row in map(json.loads, output.read_text().splitlines())}
    assert list(rows) == ["0-1", "1-1", "1-2", "2-1", "3-2", "4-1"]
    assert "'image_url', which is not text; a judge of text cannot read it" in rows["2-1"]["error"]
    assert rows["2-1"]["score"] is None
