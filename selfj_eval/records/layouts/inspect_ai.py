"""inspect_ai's logs: a record a sample and epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.conversations import content_text
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import ALIASES, Layout, Source, is_rating
from selfj_eval.records.layouts.conversations import checked_messages, judged_turns

_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # correct, partial, incorrect, no answer


def _sample_rows(source: Source) -> Rows:
    for place, row in source.rows:
        about = source.object_in(row, "eval", place)
        if row.get("error"):
            source.left_out(place, "the sample failed")
            continue
        output = source.object_in(row, "output", place)
        answer = output.get("completion")
        if output.get("error") or is_missing(answer) or not output.get("choices", True):
            source.left_out(place, "the model gave no answer")
            continue
        own = source.text_in(row, "id", place)
        epochs = source.object_in(about, "config", place).get("epochs")
        if isinstance(epochs, int) and epochs > 1:
            own = f"{own}-{source.text_in(row, 'epoch', place)}"
        category = source.object_in(row, "metadata", place).get("category")
        record = {
            "id": own,
            "model": about.get("model") or output.get("model"),
            "category": category if isinstance(category, str) else None,
            "reference": _target(row.get("target"), source),
            **_rating(source, row, place),
        }
        answered = {"role": "assistant", "content": answer}
        yield from judged_turns(source, place, record, [*_before(source, row, place), answered])


def _before(source: Source, row: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    """The turns before the answer; the input alone where the log has no messages."""
    asked, given = row.get("input"), row.get("messages")
    if not given:
        given = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    messages = checked_messages(given, "messages", place, source)
    if messages[-1]["role"] == "assistant" and row.get("messages"):
        messages.pop()
    return [_without_thoughts(message) for message in messages]


def _without_thoughts(message: dict[str, Any]) -> dict[str, Any]:
    """The message without the reasoning before an answer, which is no part of it."""
    content = message.get("content")
    if isinstance(content, list):
        kept = [p for p in content if not (isinstance(p, dict) and p.get("type") == "reasoning")]
        message = {**message, "content": kept}
        if all(isinstance(part, dict) and part.get("type") == "text" for part in kept):
            message["content"] = content_text(kept)
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        calls = [
            {"name": call.get("function"), "arguments": call.get("arguments")}
            if isinstance(call, dict) and isinstance(call.get("function"), str)
            else call
            for call in calls
        ]
        message = {**message, "tool_calls": calls}
    return message


def _target(target: Any, source: Source) -> Any:
    """The reference: the first of several."""
    if isinstance(target, list):
        if len(target) > 1:
            source.notices.count(ALIASES)
        target = target[0] if target else None
    return target


def _rating(source: Source, row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The value that the scorer which the user names gave; letters are right or wrong."""
    scores = source.object_in(row, "scores", place)
    score = source.told_of("rating", source.raters(scores, _rates), alone=True)
    value = _value(score)
    if isinstance(value, str) and value in _LETTERS:
        return {"rating": _LETTERS[value], "rating_min": 0.0, "rating_max": 1.0}
    return {} if score is None else {"rating": source.rating(value, "scores", place)}


def _value(score: Any) -> Any:
    return score.get("value") if isinstance(score, Mapping) else score


def _rates(score: Any) -> bool:
    value = _value(score)
    return is_rating(value) or (isinstance(value, str) and value in _LETTERS)


INSPECT = (
    Layout(
        "inspect",
        "samples in a log of inspect_ai's",
        ("eval", "epoch", "input", "output"),
        _sample_rows,
        takes=("rating",),
    ),
)
