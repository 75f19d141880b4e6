"""Conversations: what of them is judged, what a judge is shown, and what is written and read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import DataError, Record, read_records
from selfj_eval.judging.candidates import group
from selfj_eval.judging.scored import groups, read_scores
from selfj_eval.prompts.template_files import SHIPPED, shipped
from selfj_eval.records.conversations import Turn
from selfj_eval.records.inputs import records_of
from selfj_eval.records.record import Judgment
from selfj_eval.records.texts import reason_not_text
from selfj_eval.records.writing import write_judgments, write_records

TURNS = (
    Turn("system", "Answer briefly."),
    Turn("user", "Name three rivers."),
    Turn("assistant", "Rhine, Elbe, Oder."),
    Turn("user", "Now sort them by length."),
)
SHOWN = (
    "System: Answer briefly.\n\nUser: Name three rivers.\n\nAssistant: Rhine, Elbe, Oder.\n\n"
    "User: Now sort them by length."
)
CALL = {"type": "function", "function": {"name": "lamp", "arguments": '{"room": "hall"}'}}


def chat(*texts: str) -> list[dict[str, str]]:
    """User and assistant in turn."""
    roles = ("user", "assistant")
    return [{"role": roles[k % 2], "content": text} for k, text in enumerate(texts)]


def test_a_conversation_is_shown_whole() -> None:
    record = Record("1", "Now sort them by length.", "Oder, Elbe, Rhine.", messages=TURNS)
    assert record.question == SHOWN
    flat = Record("1", SHOWN, "Oder, Elbe, Rhine.")
    for template in map(shipped, SHIPPED):  # as the same texts in one field were, byte for byte
        shown = template.render(record.question, record.response)
        assert SHOWN in shown
        assert shown == template.render(flat.question, flat.response)


def test_messages_in_memory() -> None:
    messages: Any = [turn._asdict() | {"content": turn.text} for turn in TURNS]
    record = Record("1", "", "x", messages=messages)
    assert record.messages == TURNS
    assert record.instruction == "Now sort them by length."
    alone: Any = chat("Add 4 and 9.")
    assert Record("1", "", "13", messages=alone) == Record("1", "Add 4 and 9.", "13")
    for wrong, message in [
        (chat("Another?"), "last user turn is not the instruction"),
        ([{"role": "assistant", "content": "Hi."}], "no user turn"),
        ("text", "expected chat messages"),
        (7, "expected chat messages"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "not text"),
    ]:
        with pytest.raises(DataError, match=message) as error:
            Record("1", "Add 4 and 9.", "13", messages=wrong)
        assert error.value.field == "messages"


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".parquet"])
def test_messages_and_raters_survive_every_format(tmp_path: Path, ending: str) -> None:
    raters: Any = [("ann", 4), ("bob", 5)]
    records = [
        Record("1", TURNS[-1].text, "Oder.", messages=TURNS, rating=4.5, raters=raters),
        Record("2", "Add 4 and 9.", "13"),
        # What was asked twice, and a tool between question and answer.
        Record("3", "", "A", messages=tuple(Turn(r, t) for r, t in [
            ("user", "again"), ("assistant", "A"), ("user", "again")])),
        Record("4", "", "It is on.", messages=tuple(Turn(r, t) for r, t in [
            ("user", "Is it on?"), ("assistant", "lamp({})"), ("tool", "on")])),
    ]  # fmt: skip
    path = tmp_path / f"records{ending}"
    write_records(path, records)
    assert read_records(path) == records
    scores = tmp_path / f"scores{ending}"
    write_judgments(scores, records, [Judgment(r.id, 5.0, None, None) for r in records])
    found = read_scores(scores)
    assert [a.question for a in found.answers] == [r.question for r in records]
    assert [a.raters for a in found.answers] == [r.raters for r in records]
    assert read_records(scores) == records
    assert records_of([a.row() for a in found.answers]) == records


def test_files_without_conversations_are_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_records(path, [Record("1", "Add 4 and 9.", "13")])
    assert not {"messages", "raters"} & json.loads(path.read_text()).keys()


def test_the_same_last_turn_is_not_the_same_question() -> None:
    other = (Turn("user", "Name two seas."), Turn("assistant", "North, Baltic."), TURNS[-1])
    asked = "Now sort them by length."
    records = [
        Record("1", asked, "a", messages=TURNS),
        Record("2", asked, "b", messages=other),
        Record("3", asked, "c", messages=TURNS),
    ]
    assert [len(pool.records) for pool in group(records, [1.0, 2.0, 3.0])] == [2, 1]
    scored = [replace(s, score=1.0) for s in _scored(records)]
    numbers = groups(scored)
    assert numbers is not None
    assert numbers[0] == numbers[2] != numbers[1]


def _scored(records: list[Record]) -> list[Any]:
    from selfj_eval.judging.scored import scores_of

    judgments = [Judgment(record.id, 1.0, None, None) for record in records]
    return list(scores_of(records, judgments, run={}).answers)


def test_a_question_that_is_no_text_is_unscored(tmp_path: Path) -> None:
    picture = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "x"}}]
    rows = [
        {"id": "1", "messages": [{"role": "user", "content": picture}], "response": "Grey."},
        {"id": "2", "instruction": "What?", "response": "Grey.",
         "messages": [{"role": "user", "content": picture}]},
        {"id": "3", "instruction": "Add 4 and 9.", "response": "13"},
        {"id": "4", "instruction": None, "response": "Grey.",
         "messages": [{"role": "user", "content": picture}]},
    ]  # fmt: skip
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    records = read_records(path)
    for record, line in zip([*records[:2], records[3]], (1, 2, 4), strict=True):
        reason = reason_not_text(record)
        assert reason is not None
        assert f"x.jsonl, line {line}, a message holds a part of type 'image_url'" in reason
    assert records[2].error is None
    again = tmp_path / "again.jsonl"
    write_records(again, records)
    assert [r.error for r in read_records(again)] == [r.error for r in records]


def test_calls_of_tools_are_shown(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "Is the lamp on?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "on"},
    ]
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"id": 1, "messages": messages, "response": "Yes."}))
    (record,) = read_records(path)
    assert record.instruction == "Is the lamp on?"
    assert record.question == (
        'User: Is the lamp on?\n\nAssistant: lamp({"room": "hall"})\n\nTool: on'
    )
