"""Rows as MLflow's ``evaluate`` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import Layout, Source
from selfj_eval.records.layouts.conversations import checked_messages, judged_turns
from selfj_eval.records.questions import QUESTION_FIELDS


def _rows(source: Source) -> Rows:
    for number, (place, row) in enumerate(source.rows):
        expected = source.object_in(row, "expectations", place)
        record = {
            "id": number,
            **source.own_fields(source.object_in(row, "tags", place)),
            "reference": expected.get("expected_response"),
        }
        answer = _answer(source, row, place)
        if answer is None:
            source.left_out(place, "there is no output")
            continue
        inputs = row.get("inputs")
        if isinstance(inputs, str):
            yield place, {**record, "instruction": inputs, **answer}
            continue
        asked = source.object_in(row, "inputs", place)
        if "messages" in asked:
            messages = checked_messages(asked["messages"], "inputs.messages", place, source)
            message = {"role": "assistant", "content": answer["response"]}
            yield from judged_turns(source, place, record, [*messages, message])
            continue
        found = source.named(asked, place, "inputs", "instruction")
        more = {name: asked[name] for name in QUESTION_FIELDS if name in asked}
        for name in source.told.values():
            more.pop(name, None)
        used = {name for name in asked if asked[name] is found["instruction"]}
        more = {name: value for name, value in more.items() if name not in used}
        yield place, {**record, **more, "instruction": found["instruction"], **answer}


def _answer(source: Source, row: Mapping[str, Any], place: str) -> dict[str, Any] | None:
    """The answer in ``outputs``: a text, a chat completion, or an object with it; None if null."""
    outputs = row.get("outputs")
    if is_missing(outputs):
        return None
    if not isinstance(outputs, Mapping):
        return {"response": outputs}
    if "choices" in outputs:
        choices = source.list_in(outputs, "choices", place)
        first = choices[0] if choices else None
        message = first.get("message") if isinstance(first, Mapping) else None
        if not isinstance(message, Mapping):
            raise source.error(place, "outputs", "expected a chat completion, with a message.")
        content = message.get("content")
        return None if is_missing(content) else {"response": content}
    found = source.named(outputs, place, "outputs", "response")
    return None if is_missing(found["response"]) else {"response": found["response"]}


MLFLOW = (
    Layout(
        "mlflow",
        "rows of MLflow",
        ("inputs", "outputs"),
        _rows,
        takes=("instruction", "response"),
    ),
)
