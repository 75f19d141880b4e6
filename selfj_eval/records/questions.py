"""What was asked: an instruction with the fields beside it that change the question."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.files.documents import parse_json
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.conversations import Turn, as_text, history_turns, turns_of
from selfj_eval.records.notices import Notices

_INPUTS = ("input", "context")  # Alpaca's and Dolly's names
_SYSTEMS = ("system", "system_prompt")
_CHATS = ("history", "messages")
QUESTION_FIELDS = (*_INPUTS, *_SYSTEMS, *_CHATS)
"""Fields beside an instruction that change what was asked."""

Fail = Callable[[str, str], DataError]
"""Makes the error of a field."""


def whole_question(
    instruction: str, response: str, row: Mapping[str, Any], fail: Fail, notices: Notices | None
) -> str:
    """The instruction with what other fields add to the question.

    An input follows the instruction. With a system prompt or earlier turns the question is the
    whole chat up to the instruction, each turn under its role.

    Args:
        instruction, response: The texts.
        row: What the row has in ``QUESTION_FIELDS``; others are not looked at.
        fail: Makes the error of a field.
        notices: Counts what was added.

    Raises:
        DataError: If a field is no text or no chat, or ``messages`` do not hold the instruction.
    """
    given = {name: _value(row.get(name), name) for name in QUESTION_FIELDS}
    more = {name: value for name, value in given.items() if not _is_empty(value)}
    if not more:
        return instruction
    asked = instruction
    for text in dict.fromkeys(_text(name, more, fail) for name in _INPUTS if name in more):
        asked = f"{asked}\n\n{text}"
    said = dict.fromkeys(_text(name, more, fail) for name in _SYSTEMS if name in more)
    system = [Turn("system", text) for text in said]
    earlier = [*system, *_history(more, fail)]
    known = {_plain(asked), _plain(instruction)}
    if earlier and earlier[-1].role == "user" and _plain(earlier[-1].text) in known:
        earlier.pop()  # a history that ends with the question
    before = _before(_chat("messages", more, fail), known, response, notices)
    if before is None:
        message = "does not hold the instruction as a question; keep one of the two."
        raise fail("messages", message)
    told, also = ({_plain(turn.text) for turn in turns} for turns in (earlier, before))
    if not (told <= also or also <= told):
        raise fail(
            "messages", "holds other turns than 'system' and 'history'; keep one of the two."
        )
    question = as_text([*(before if told <= also else earlier), Turn("user", asked)])
    if notices is not None and question != instruction:
        for name in more:
            notices.count(f"instructions joined with what stands in {name!r}")
    return question


def _before(
    chat: list[Turn], asked: set[str], response: str, notices: Notices | None
) -> list[Turn] | None:
    """The turns before the question in a chat; None if it is not there."""
    if not chat:
        return []
    places = [at for at, t in enumerate(chat) if t.role == "user" and _plain(t.text) in asked]
    if not places:
        return None
    answered = [
        at for at in places if at + 1 < len(chat) and _plain(chat[at + 1].text) == _plain(response)
    ]
    place = (answered or places)[-1]
    if notices is not None and len(chat) > place + 2:
        notices.count("'messages' that go on after the answer, the rest not shown")
    return chat[:place]


def _text(name: str, more: Mapping[str, Any], fail: Fail) -> str:
    value = more[name]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    if name == "context" and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "\n\n".join(value)  # passages
    if not isinstance(value, str):
        raise fail(name, f"belongs to the question; expected text, got {type(value).__name__}.")
    return value


def _history(more: Mapping[str, Any], fail: Fail) -> list[Turn]:
    try:
        turns = history_turns(more.get("history", []))
    except ValueError as error:
        raise fail("history", f"{error}; a judge of text cannot read it.") from error
    if turns is None:
        message = "belongs to the question; expected pairs of texts or chat messages."
        raise fail("history", message)
    return turns


def _chat(name: str, more: Mapping[str, Any], fail: Fail) -> list[Turn]:
    value = more.get(name)
    if value is None:
        return []
    try:
        turns = turns_of(value)
    except ValueError as error:
        raise fail(name, f"{error}; a judge of text cannot read it.") from error
    if turns is None:
        raise fail(name, "belongs to the question; expected chat messages.")
    return turns


def _value(value: Any, name: str) -> Any:
    """The value; that of a chat, which is JSON in a table, as a list."""
    if isinstance(value, str) and name in _CHATS:
        try:
            return parse_json(value, strict=False)
        except ValueError:
            return value
    return value


def _is_empty(value: object) -> bool:
    if is_missing(value):
        return True
    if isinstance(value, str):
        return value.strip() in ("", "<noinput>")  # Self-Instruct's word
    return value in ([], ())


def _plain(text: str) -> str:
    return " ".join(text.split())
