"""What was asked: an instruction with the fields beside it that change the question.

With a system prompt or earlier turns it is a conversation. A judge is shown all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from selfj_eval.errors import DataError
from selfj_eval.files.documents import parse_json
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.conversations import (
    NotTextError,
    Turn,
    history_turns,
    is_one_question,
    last_question,
    turns_of,
)
from selfj_eval.records.notices import Notices
from selfj_eval.records.texts import is_unicode

_INPUTS = ("input", "context")  # Alpaca's and Dolly's names
SYSTEMS = ("system", "system_prompt")
"""Fields with a system prompt."""
_CHATS = ("history", "messages")
_TOOLS = ("tool", "function", "ipython")  # roles of what a tool returned
QUESTION_FIELDS = (*_INPUTS, *SYSTEMS, *_CHATS)
"""Fields beside an instruction that change what was asked."""

Fail = Callable[[str, str], DataError]
"""Makes the error of a field."""

NOT_TEXT = "a judge of text cannot read it"
"""Why a question with an image or the like is unscored."""


class UnreadableError(DataError):
    """A question that holds something else than text, such as an image."""


class Question(NamedTuple):
    """What was asked.

    Attributes:
        instruction: The last user turn, with its input.
        messages: The whole conversation before the answer; None where that is the instruction.
    """

    instruction: str
    messages: tuple[Turn, ...] | None = None


def whole_question(
    instruction: str | None,
    response: str | None,
    row: Mapping[str, Any],
    fail: Fail,
    notices: Notices | None,
) -> Question:
    """The instruction with what other fields add to the question.

    An input follows the instruction. With a system prompt or earlier turns the question is the
    whole conversation up to the answer.

    Args:
        instruction, response: The texts; without an instruction, it is the last user turn of
            ``messages``, and answers at their end are not shown.
        row: What the row has in ``QUESTION_FIELDS``; others are not looked at.
        fail: Makes the error of a field.
        notices: Counts what was added.

    Raises:
        DataError: If a field is no text or no chat, or ``messages`` do not hold the instruction.
        UnreadableError: If a message holds something else than text.
    """
    given = {name: _value(row.get(name), name) for name in QUESTION_FIELDS}
    more = {name: value for name, value in given.items() if not _is_empty(value)}
    chat = _chat("messages", more, fail)
    around: tuple[list[Turn], list[Turn]] | None = None
    alone = instruction is None
    if instruction is None:
        _drop_answer(chat, response, notices)
        at = last_question(chat)
        if at is None:
            raise fail("messages", "holds no user turn with a text; there is nothing to answer.")
        instruction, around = chat[at].text, (chat[:at], chat[at + 1 :])
    elif not more:
        return Question(instruction)
    asked = instruction
    for text in dict.fromkeys(_text(name, more, fail) for name in _INPUTS if name in more):
        asked = f"{asked}\n\n{text}"
    said = dict.fromkeys(_text(name, more, fail) for name in SYSTEMS if name in more)
    system = [Turn("system", text) for text in said]
    earlier = [*system, *_history(more, fail)]
    known = {_plain(asked), _plain(instruction)}
    if earlier and earlier[-1].role == "user" and _plain(earlier[-1].text) in known:
        earlier.pop()  # a history that ends with the question
    around = around or _around(chat, known, response, notices)
    if around is None:
        message = "does not hold the instruction as a question; keep one of the two."
        raise fail("messages", message)
    before, after = around
    told, also = ({_plain(turn.text) for turn in turns} for turns in (earlier, before))
    if not (told <= also or also <= told):
        raise fail(
            "messages", "holds other turns than 'system' and 'history'; keep one of the two."
        )
    turns = (*(before if told <= also else earlier), Turn("user", asked), *after)
    messages = None if is_one_question(turns) else turns
    if not all(is_unicode(text) for text in (asked, *(turn.text for turn in turns))):
        message = "or what belongs to it holds half of a surrogate pair, which is not text."
        raise fail("instruction", message)
    if notices is not None and alone and messages is not None:
        notices.count("conversations; the judge is shown every turn")
    elif notices is not None and (messages is not None or asked != instruction):
        for name in more:
            notices.count(f"instructions joined with the text in {name!r}")
    return Question(asked, messages)


def _drop_answer(chat: list[Turn], response: str | None, notices: Notices | None) -> None:
    """Take answers from the end of a chat: the one that is judged, and others in its place."""
    while chat and chat[-1].role == "assistant":
        own = response is not None and _plain(chat[-1].text) == _plain(response)
        chat.pop()
        if own:
            return
        if notices is not None:
            notices.count("answers at the end of 'messages', not shown")


def _around(
    chat: list[Turn], asked: set[str], response: str | None, notices: Notices | None
) -> tuple[list[Turn], list[Turn]] | None:
    """The turns before the question in a chat, and those between it and the answer.

    Between them stand an assistant's calls of tools and what these returned.

    Returns:
        Both; None if the question is not there.
    """
    if not chat:
        return [], []
    places = [at for at, t in enumerate(chat) if t.role == "user" and _plain(t.text) in asked]
    if not places:
        return None
    answered = [
        at
        for at in places
        if at + 1 < len(chat) and _plain(chat[at + 1].text) == _plain(response or "")
    ]
    # Where the chat ends with the question, or with what a tool returned, the answer follows.
    place = places[-1]
    if answered and (chat[-1].role == "assistant" or last_question(chat) != place):
        place = answered[-1]
    end = next((at for at in range(place + 1, len(chat)) if chat[at].role == "user"), len(chat))
    last = max((at for at in range(place + 1, end) if chat[at].role in _TOOLS), default=place)
    if notices is not None and len(chat) > last + 2:
        notices.count("'messages' that continue after the answer; the rest is not shown")
    return chat[:place], chat[place + 1 : last + 1]


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
    except NotTextError as error:
        raise _unreadable(fail("history", f"{error}; {NOT_TEXT}."), "history") from error
    except ValueError as error:
        raise fail("history", f"{error}; expected text.") from error
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
    except NotTextError as error:
        raise _unreadable(fail(name, f"{error}; {NOT_TEXT}."), name) from error
    except ValueError as error:
        raise fail(name, f"{error}; expected text.") from error
    if turns is None:
        raise fail(name, "belongs to the question; expected chat messages.")
    return turns


def _unreadable(error: DataError, name: str) -> UnreadableError:
    return UnreadableError(error.message, path=error.path, place=error.place, field=name)


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
