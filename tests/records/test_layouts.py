"""What other programs write: fields that change the question, foreign layouts, ratings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import DataError, Record, read_records
from selfj_eval.generation.instructions import read_instructions
from selfj_eval.records.notices import Notices
from selfj_eval.records.pairs import read_pairs
from selfj_eval.records.record import NO_ANSWER

ROW = {"id": "1", "instruction": "Sort by size.", "response": "lake, sea"}


QUESTIONS = {
    "input": ({"input": "sea, lake"}, "Sort by size.\n\nsea, lake"),
    "an empty input": ({"input": "", "history": [], "system": None}, "Sort by size."),
    "system": (
        {"system": "Be brief."},
        "System: Be brief.\n\nUser: Sort by size.",
    ),
    "history and input": (
        {"history": [["Name two waters.", "Sea, lake."]], "input": "again"},
        "User: Name two waters.\n\nAssistant: Sea, lake.\n\nUser: Sort by size.\n\nagain",
    ),
    "messages that say no more": (
        {"messages": [{"role": "user", "content": "Sort by size."},
                      {"role": "assistant", "content": "another model's answer"}]},
        "Sort by size.",
    ),
    "an input that is a number": ({"input": 5}, "Sort by size.\n\n5"),
    "Dolly's context": ({"context": "sea, lake"}, "Sort by size.\n\nsea, lake"),
    "passages": ({"context": ["sea", "lake"]}, "Sort by size.\n\nsea\n\nlake"),
    "no input in words": ({"input": "<noinput>"}, "Sort by size."),
    "a history that ends with the question": (
        {"history": [{"role": "user", "content": "Sort by size."}], "system_prompt": "Be brief.",
         "system": "Be brief."},
        "System: Be brief.\n\nUser: Sort by size.",
    ),
    "a chat in a table": (
        {"history": '[["Hi.", "Hello."]]', "messages": "[]"},
        "User: Hi.\n\nAssistant: Hello.\n\nUser: Sort by size.",
    ),
    "messages that go on after the answer": (
        {"messages": [{"role": "user", "content": "Sort by  size."},
                      {"role": "assistant", "content": "lake, sea"},
                      {"role": "user", "content": "And now by depth."},
                      {"role": "assistant", "content": "lake, sea"}]},
        "Sort by size.",
    ),
    "the same system prompt twice": (
        {"system": "Be brief.",
         "messages": [{"role": "system", "content": "Be brief."},
                      {"role": "user", "content": "Sort by size."},
                      {"role": "assistant", "content": "another model's answer"}]},
        "System: Be brief.\n\nUser: Sort by size.",
    ),
    "messages with more turns": (
        {"messages": [{"role": "system", "content": "Be brief."},
                      {"role": "user", "content": [{"type": "text", "text": "Hi."}]},
                      {"role": "assistant", "content": "Hello."},
                      {"role": "user", "content": "Sort by size."}]},
        "System: Be brief.\n\nUser: Hi.\n\nAssistant: Hello.\n\nUser: Sort by size.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", QUESTIONS)
def test_fields_that_change_the_question_belong_to_it(tmp_path: Path, case: str, read: Any) -> None:
    fields, instruction = QUESTIONS[case]
    (record,), noted = read(tmp_path, ROW | fields)
    assert record.question == instruction
    assert (record.id, record.response, record.error) == ("1", "lake, sea", None)
    if record.messages is not None:  # the last turn is the instruction, all of them are kept
        assert record.instruction == record.messages[-1].text != instruction
    for name, value in fields.items():
        changed = (
            value not in ("", [], None, "[]", "<noinput>") and instruction != ROW["instruction"]
        )
        assert (f"instructions joined with the text in {name!r}: 1" in noted) == changed
    assert read_instructions(tmp_path / "x.jsonl")[0].text == instruction


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"context": [{"title": "x"}]}, "field 'context': belongs to the question; expected text"),
        ({"input": {"text": "x"}}, "field 'input': belongs to the question; expected text, got d"),
        (
            {
                "system": "Be brief.",
                "messages": [
                    {"role": "system", "content": "Be long."},
                    {"role": "user", "content": "Sort by size."},
                ],
            },
            "field 'messages': holds other turns than 'system' and 'history'",
        ),
        ({"history": "earlier"}, "field 'history': belongs to the question; expected pairs"),
        ({"messages": [1]}, "field 'messages': belongs to the question; expected chat messages"),
        (
            {"messages": [{"role": "user", "content": "Another?"}]},
            "field 'messages': does not hold the instruction as a question",
        ),
        (
            {"messages": [{"role": "user", "content": {"a": 1}}]},
            "holds dict where text is expected",
        ),
    ],
)
def test_a_question_that_cannot_be_told_is_refused(
    tmp_path: Path, fields: dict[str, Any], message: str, read: Any
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, ROW | fields)


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.csv"])
def test_alpacas_own_layout(tmp_path: Path, name: str) -> None:
    rows = [
        {"instruction": "Sort by size.", "input": "sea, lake", "output": "lake, sea"},
        {"instruction": "Say hi.", "input": "", "output": ""},
    ]
    path = tmp_path / name
    if name == "x.csv":
        path.write_text('instruction,input,output\nSort by size.,"sea, lake","lake, sea"\n'
                        "Say hi.,,\n")  # fmt: skip
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_text(json.dumps(rows) if name == "x.json" else lines)
    assert read_records(path) == [
        Record("0", "Sort by size.\n\nsea, lake", "lake, sea"),
        Record("1", "Say hi.", ""),
    ]


def test_unknown_fields_are_named_once(tmp_path: Path, read: Any) -> None:
    _, noted = read(tmp_path, ROW | {"date": 1}, ROW | {"id": "2", "embedding": [0.1], "date": 2})
    assert noted == "ignored: date, embedding"


def test_nothing_is_not_a_text(tmp_path: Path, read: Any) -> None:
    rows = [
        ROW | {"response": None},
        ROW | {"id": "2", "response": float("nan"), "reference": float("nan")},
        ROW | {"id": "3", "response": 42, "reference": 4.5, "category": 3, "model": None},
    ]
    records, noted = read(tmp_path, *rows)
    assert [r.error for r in records] == [NO_ANSWER, NO_ANSWER, None]
    assert records[1].reference is None
    assert records[2] == Record("3", "Sort by size.", "42", "4.5", category="3")
    assert "null responses, which are not answers: 2" in noted
    assert "numbers read as text in 'response': 1" in noted


@pytest.mark.parametrize(
    "row, layout",
    [
        ({"messages": []}, "field 'messages': expected chat messages, got an empty list"),
        ({"conversations": [{"from": "human", "value": "q"}]}, "skipped, the last turn is the us"),
        ({"question_id": 1, "model_id": "m", "choices": [{"turns": ["a"]}]}, "is not in model_a"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "preference pairs"),
        ({"custom_id": "1", "response": {"body": {}}}, "the batch's file of requests"),
        ({"instruction": [{"type": "text", "text": "q"}], "response": "a"}, "content parts"),
        ({"instruction": [{"role": "user", "content": "q"}], "response": "a"}, "chat messages"),
    ],
)
def test_a_foreign_layout_is_named(
    tmp_path: Path, row: dict[str, Any], layout: str, read: Any
) -> None:
    with pytest.raises(DataError, match=layout):
        read(tmp_path, {"id": "1", **row})


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl")
    with pytest.raises(DataError, match="is not a regular file; write its content to a file"):
        read_records(tmp_path / "x.jsonl")


USER, OLD = {"role": "user", "content": "q"}, {"role": "assistant", "content": "old"}
SYSTEM = {"role": "system", "content": "Be brief."}
TALK = [USER, OLD, {"role": "user", "content": "And then?"}]


@pytest.mark.parametrize("name", ["answer", "output", "completion"])
def test_an_answer_beside_messages_is_the_one_that_is_judged(
    tmp_path: Path, name: str, read: Any
) -> None:
    (record,), notes = read(tmp_path, {"messages": [USER, OLD], name: "new"})
    assert (record.question, record.response) == ("q", "new")
    assert f"{name!r} is taken as the response" in notes
    assert "answers at the end of 'messages', not shown: 1" in notes


def test_pairs_may_have_messages(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    row = {"id": "1", "messages": TALK, "response_a": "a", "response_b": "b", "label": "B"}
    path.write_text(json.dumps(row))
    (pair,) = read_pairs(path)
    assert (pair.response_a, pair.response_b, pair.label) == ("a", "b", "B")
    assert pair.question == "User: q\n\nAssistant: old\n\nUser: And then?"


def test_a_system_prompt_beside_a_conversation_is_shown(tmp_path: Path, read: Any) -> None:
    new = {"role": "assistant", "content": "new"}
    chat = {"system": "Be brief.", "messages": [*TALK, new], "source": "x"}
    trl = {"system": "Be brief.", "prompt": TALK, "completion": [new], "label": True, "source": "x"}
    for row in (chat, trl, chat | {"messages": [SYSTEM, *TALK, new]}):
        (record,), notes = read(tmp_path, row)
        shown = "System: Be brief.\n\nUser: q\n\nAssistant: old\n\nUser: And then?"
        assert (record.question, record.response) == (shown, "new")
        assert "ignored: source" in notes
    texts = {"system": "Be brief.", "prompt": "q", "completion": "new", "label": False}
    (record,), _ = read(tmp_path, texts)
    assert record.question == "System: Be brief.\n\nUser: q"
    (record,), notes = read(tmp_path, {"conversations": [USER, new], "source": "x"})
    assert "ignored: source" in notes


@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": [USER], "chosen": "a", "rejected": "b"},
        {
            "chosen": [USER, {"role": "assistant", "content": "a"}],
            "rejected": [USER, {"role": "assistant", "content": "b"}],
        },
    ],
)
def test_a_system_prompt_beside_a_preference_is_shown(tmp_path: Path, asked: Any) -> None:
    path, notices = tmp_path / "p.jsonl", Notices()
    path.write_text(json.dumps({"system": "Be brief.", "source": "x", **asked}))
    (pair,) = read_pairs(path, notices=notices)
    assert pair.question == "System: Be brief.\n\nUser: q"
    assert (pair.response_a, pair.response_b) == ("a", "b")
    assert "ignored: source" in notices.sentences()


def task(*annotations: dict[str, Any]) -> dict[str, Any]:
    """A task of Label Studio's; each annotation has the values of its controls by their names."""

    def result(name: str, value: Any) -> dict[str, Any]:
        kind = "choices" if isinstance(value, str) else "number"
        held = [value] if isinstance(value, str) else value
        return {"from_name": name, "type": kind, "value": {kind: held}}

    given = [
        {"completed_by": k, "result": [result(*control) for control in own.items()]}
        for k, own in enumerate(annotations)
    ]
    data = {"instruction": "q", "response": "a"}
    return {"id": 1, "data": data, "annotations": given}


def test_what_stands_for_no_rating_is_in_no_mean(tmp_path: Path, read: Any) -> None:
    (record,), notes = read(tmp_path, task({"q": -1}, {"q": 4}), missing_rating="-1")
    assert record.rating == 4 and record.raters is not None and len(record.raters) == 1
    assert "ratings of -1, read as no rating: 1" in notes
    responses = {"q": [{"user_id": "u", "value": -1}, {"user_id": "v", "value": 4}]}
    argilla = {"id": "1", "fields": {"instruction": "q", "response": "a"}, "suggestions": {}}
    (record,), _ = read(tmp_path, argilla | {"responses": responses}, missing_rating=-1.0)
    assert record.rating == 4


def test_a_score_is_the_only_one_only_if_it_is(tmp_path: Path, read: Any) -> None:
    with pytest.raises(DataError, match="the rating may be 'q' or 'f'; name one with `fields`"):
        read(tmp_path, task({"q": 2}, {"q": 5, "f": 1}))
    (record,), _ = read(tmp_path, task({"q": 2}, {"q": 5, "f": 1}), names={"rating": "q"})
    assert record.rating == 3.5


def test_a_single_score_that_is_no_number_is_counted(tmp_path: Path, read: Any) -> None:
    others = "scores that are not numbers, not used: 1"
    (record,), notes = read(tmp_path, task({"mood": "Good"}))
    assert record.rating is None and others in notes
    with pytest.raises(DataError, match="expected a number as rating"):
        read(tmp_path, task({"mood": "Good"}), names={"rating": "mood"})
    log = {
        "id": "1", "eval": {"model": "m"}, "epoch": 1, "input": "q",
        "output": {"completion": "a", "choices": [{}]},
    }  # fmt: skip
    (record,), notes = read(tmp_path, log | {"scores": {"said": {"value": "a longer text"}}})
    assert record.rating is None and others in notes
    (record,), notes = read(tmp_path, log | {"scores": {"said": {"value": "C"}}})
    assert (record.rating, record.rating_max) == (1, 1) and "the only one" in notes
    flat = {"_server_id": "1", "status": "completed", "id": "1", "instruction": "q"}
    flat |= {"response": "a", "why.responses": ["short"], "why.responses.users": ["u"]}
    (record,), notes = read(tmp_path, flat | {"why.responses.status": ["submitted"]})
    assert record.rating is None and others in notes


def test_each_end_of_the_scale_is_filled_by_itself(tmp_path: Path, read: Any) -> None:
    row = {"id": "1", "instruction": "q", "response": "a", "rating": 2, "rating_min": 0}
    (record,), _ = read(tmp_path, row, scale=(1, 5))
    assert (record.rating_min, record.rating_max) == (0, 5)
