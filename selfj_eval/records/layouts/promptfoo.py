"""promptfoo's results: a record a test, prompt and provider."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from selfj_eval.files.documents import parse_json
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import Layout, Source
from selfj_eval.records.layouts.conversations import checked_messages, judged_turns

_FAILED = 2  # failureReason of a provider that gave no answer; 1 is an assertion that failed
_UNRATED = "No assertions"


def _result_rows(source: Source) -> Rows:
    for place, row in source.rows:
        parts = [source.text_in(row, name, place) for name in ("testIdx", "promptIdx")]
        response = source.object_in(row, "response", place)
        output = response.get("output")
        if row.get("failureReason") == _FAILED or is_missing(output):
            source.left_out(place, "the provider failed (failureReason 2, or no output)")
            continue
        if not isinstance(output, str):
            source.notices.count("answers that are JSON, read as text")
            output = json.dumps(output, ensure_ascii=False)
        provider = source.object_in(row, "provider", place)
        category = source.object_in(row, "metadata", place).get("category")
        record = {
            "id": "-".join(parts),
            "model": provider.get("label") or provider.get("id"),
            "category": category if isinstance(category, str) else None,
            "reference": source.told_of("reference", source.object_in(row, "vars", place)),
            **_rating(source, row, place),
        }
        prompt = source.text_in(source.object_in(row, "prompt", place), "raw", place)
        messages = _messages(prompt)
        if messages is None:
            yield place, {**record, "instruction": prompt, "response": output}
            continue
        asked = checked_messages(messages, "prompt.raw", place, source)
        answered = {"role": "assistant", "content": output}
        yield from judged_turns(source, place, record, [*asked, answered])


def _messages(prompt: str) -> list[Any] | None:
    """The messages that a prompt is, which are JSON as text; None of any other prompt."""
    if not prompt.lstrip().startswith("["):
        return None
    try:
        value = parse_json(prompt, strict=False)
    except ValueError:
        return None
    chat = isinstance(value, list) and value and all(isinstance(m, dict) for m in value)
    return value if chat and all("role" in message for message in value) else None


def _rating(source: Source, row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The weighted share of assertions that hold; nothing where there was none."""
    graded = source.object_in(row, "gradingResult", place)
    if not graded or graded.get("reason") == _UNRATED:
        return {}
    rating = source.rating(row.get("score"), "score", place)
    return {"rating": rating, "rating_min": 0.0, "rating_max": 1.0}


PROMPTFOO = (
    Layout(
        "promptfoo",
        "results of promptfoo",
        ("promptIdx", "testIdx", "prompt", "provider"),
        _result_rows,
        takes=("reference",),
    ),
)
