"""Conversations in a row: which turns are answers, and what stands before each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.conversations import NotTextError, content_text, role_of
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import Source
from selfj_eval.records.options import ALL
from selfj_eval.records.questions import NOT_TEXT, QUESTION_FIELDS, SYSTEMS

NO_QUESTION = "no user turn before the answer"
_NO_ANSWER = "no turn of the assistant's holds an answer to judge"
_OF_LAST = ("reference", "rating", "rating_min", "rating_max", "raters")


def checked_messages(value: Any, field: str, place: str, source: Source) -> list[dict[str, Any]]:
    """Chat messages, with their roles by the usual names.

    Raises:
        DataError: If it is no list of objects with ``role`` and ``content``.
    """
    if not isinstance(value, list | tuple) or not value:
        kind = "an empty list" if isinstance(value, list | tuple) else type(value).__name__
        raise source.error(place, field, f"expected chat messages, got {kind}.")
    found = []
    for number, message in enumerate(value, 1):
        if not isinstance(message, Mapping):
            kind = type(message).__name__
            raise source.error(
                place, field, f"message {number}: expected an object with role and content, "
                f"got {kind}."
            )  # fmt: skip
        role = message.get("role")
        if not isinstance(role, str):
            raise source.error(place, field, f"message {number} has no role.")
        content = message.get("content")
        if not (is_missing(content) or isinstance(content, str | list | tuple)):
            kind = type(content).__name__
            message = f"message {number}: expected text or a list of parts as content, got {kind}."
            raise source.error(place, field, message)
        found.append({**message, "role": role_of(role)})
    return found


def beside(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row has beside a question and belongs to it, such as a system prompt."""
    return {name: row[name] for name in QUESTION_FIELDS if name in row and name != "messages"}


def with_system(
    row: Mapping[str, Any], messages: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What stands beside a conversation and belongs to the question.

    Returns:
        The row's other fields of a question, and the messages, with the system prompts that stand
        beside them at their beginning.
    """
    found = beside(row)
    given = [found.pop(name, None) for name in SYSTEMS]
    texts = dict.fromkeys(text for text in given if isinstance(text, str) and text.strip())
    system = [{"role": "system", "content": text} for text in texts]
    return found, [*(turn for turn in system if turn not in messages[:1]), *messages]


def judged_turns(
    source: Source, place: str, row: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
) -> Rows:
    """The rows that a conversation gives: its last turn, or each of the assistant's turns.

    Args:
        source: What is read; turns that cannot be judged are counted there.
        place: Where the conversation stands.
        row: The record's other fields, with its id.
        messages: As ``checked_messages`` gives them.
    """
    every = source.turns == ALL
    at = [k for k, message in enumerate(messages) if message["role"] == "assistant"]
    if not every:
        last = messages[-1]["role"]
        if last != "assistant":
            whose = "user's" if last == "user" else f"{last}'s"
            source.left_out(place, f"the last turn is the {whose}: there is no answer to judge")
            return
        at = at[-1:]
    elif all(_only_calls(messages[k]) for k in at):
        source.left_out(place, _NO_ANSWER)
        return
    for number, k in enumerate(at, 1):
        where = f"{place}, turn {number}" if every else place
        message, before = messages[k], list(messages[:k])
        if _only_calls(message):
            if not every:  # between question and answer it is no answer of its own
                source.left_out(where, "the last turn calls a tool: there is no answer to judge")
            continue
        if all(earlier["role"] != "user" for earlier in before):
            source.left_out(where, NO_QUESTION)
            continue
        about = dict(row)
        if k < len(messages) - 1 and not about.keys().isdisjoint(_OF_LAST):
            # Such a reference answers the last turn, and that is what was rated.
            about = {name: value for name, value in row.items() if name not in _OF_LAST}
            source.notices.count("turns before the last one, without its reference and rating")
        if every:
            about["id"] = f"{row['id']}-{number}"
        yield where, {**about, "messages": before, **answer_of(message)}


def _only_calls(message: Mapping[str, Any]) -> bool:
    """Whether a turn calls a tool and says nothing."""
    return is_missing(message.get("content")) and bool(message.get("tool_calls"))


def answer_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """The text of the message that is judged; null, with the reason, where it is no text."""
    content = message.get("content")
    if is_missing(content):
        return {"response": message.get("refusal")}
    try:
        return {"response": content_text(content)}
    except NotTextError as error:
        return {"response": None, "error": f"{error}; {NOT_TEXT}."}
