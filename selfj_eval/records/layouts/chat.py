"""Conversations as chat programs and trainers write them: one a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import OWN, Layout, Source
from selfj_eval.records.layouts.conversations import (
    beside,
    checked_messages,
    judged_turns,
    with_system,
)
from selfj_eval.records.names import FAMILIAR

_SHAREGPT_ROLES = {"function_call": "assistant", "observation": "tool", "bing": "assistant"}


def _chat_rows(source: Source) -> Rows:
    """OpenAI's fine-tuning files and the like: ``messages``, the last one is judged."""
    for number, (place, row) in enumerate(source.known_rows()):
        more, messages = with_system(
            row, checked_messages(row.get("messages"), "messages", place, source)
        )
        own = {"id": number, **source.own_fields(row), **more}
        yield from judged_turns(source, place, own, messages)


def _sharegpt_rows(source: Source) -> Rows:
    """``conversations`` of ``from`` and ``value``; ids often repeat, the position tells apart."""
    ids = set[Any]()
    for number, (place, row) in enumerate(source.known_rows("conversations")):
        own = {"id": number, **source.own_fields(row)}
        if own["id"] in ids:
            source.notices.count("repeated ids, made unique by # and the position")
            own["id"] = f"{own['id']}#{number}"
        ids.add(own["id"])
        more, messages = sharegpt_messages(row, place, source)
        yield from judged_turns(source, place, own | more, messages)


def sharegpt_messages(
    row: Mapping[str, Any], place: str, source: Source
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What stands beside a ShareGPT conversation, and it as chat messages (``with_system``)."""
    turns = [
        sharegpt_turn(turn) if isinstance(turn, Mapping) else turn
        for turn in source.list_in(row, "conversations", place)
    ]
    return with_system(row, checked_messages(turns, "conversations", place, source))


def sharegpt_turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    """A turn of ``from`` and ``value`` as a chat message."""
    if "from" not in turn:
        return dict(turn)
    role = turn["from"]
    if isinstance(role, str) and role in _SHAREGPT_ROLES:
        called = role == "function_call"
        calls = [{"function": {"name": "call", "arguments": turn.get("value")}}] if called else []
        content = None if called else turn.get("value")
        return {"role": _SHAREGPT_ROLES[role], "content": content, "tool_calls": calls}
    return {"role": role, "content": turn.get("value")}


def _completion_rows(source: Source) -> Rows:
    """TRL: ``prompt`` and ``completion``, texts or messages, perhaps a ``label`` true or false."""
    for number, (place, row) in enumerate(source.known_rows("prompt", "completion", "label")):
        own = {"id": number, **source.own_fields(row)}
        label = row.get("label")
        if isinstance(label, bool):
            own |= {"rating": float(label), "rating_min": 0.0, "rating_max": 1.0}
        elif not is_missing(label):
            message = f"expected true or false, got {type(label).__name__} ({label!r:.40})."
            raise source.error(place, "label", message)
        prompt, completion = row.get("prompt"), row.get("completion")
        if isinstance(prompt, str) and isinstance(completion, str):
            yield place, {**own, **beside(row), "instruction": prompt, "response": completion}
            continue
        for name in ("prompt", "completion"):
            if isinstance(row.get(name), str):
                message = "is text, while the other is a list of messages; make both the same."
                raise source.error(place, name, message)
        asked = checked_messages(prompt, "prompt", place, source)
        answered = checked_messages(completion, "completion", place, source)
        more, messages = with_system(row, [*asked, *answered])
        yield from judged_turns(source, place, own | more, messages)


def _is_trl(row: Mapping[str, Any]) -> bool:
    """Not a table of two texts, whose names are familiar and need no layout."""
    texts = isinstance(row["prompt"], str) and isinstance(row["completion"], str)
    return not texts or isinstance(row.get("label"), bool)


CHAT = (
    Layout(
        "chat",
        "chat messages (OpenAI's fine-tuning files)",
        ("messages",),
        _chat_rows,
        without=(
            *("instruction", "response", *FAMILIAR["response"], "response_a"),
            *("ans_id", "conversations", "epoch", "resps"),
        ),
        takes=OWN,
        every_turn=True,
    ),
    Layout(
        "sharegpt",
        "conversations in ShareGPT's layout",
        ("conversations",),
        _sharegpt_rows,
        without=("chosen", "rejected"),
        takes=OWN,
        every_turn=True,
    ),
    Layout(
        "trl",
        "TRL's prompts and completions",
        ("prompt", "completion"),
        _completion_rows,
        takes=OWN,
        every_turn=True,
        test=_is_trl,
    ),
)
