"""OpenAI evals' event log: a record a sample, of its first answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import Layout, Source
from selfj_eval.records.layouts.conversations import checked_messages, judged_turns
from selfj_eval.records.record import is_number


def _sample_rows(source: Source) -> Rows:
    """Events of a sample stand apart: all are read before the first record is made."""
    model = None
    places: dict[str, str] = {}
    events: dict[str, dict[str, Mapping[str, Any]]] = {}
    for place, row in source.rows:
        if "spec" in row:
            named = source.object_in(row, "spec", place).get("completion_fns")
            model = named[0] if isinstance(named, list) and named else None
        if "type" not in row or is_missing(row.get("sample_id")):
            continue
        own = source.text_in(row, "sample_id", place)
        data, kind = source.object_in(row, "data", place), row["type"]
        found = events.setdefault(own, {})
        if kind in found:
            if kind == "sampling":
                source.notices.count("further calls of a sample, such as a grader's, not read")
            continue
        found[kind] = data
        if kind == "sampling":
            places[own] = place
    for own, found in events.items():
        if own not in places:
            source.left_out(f"sample {own}", "the log holds no answer")
            continue
        place, asked = places[own], found["sampling"]
        record = {
            "id": own,
            "model": model,
            "reference": _expected(found.get("match", {})),
            **_rating(source, found.get("metrics", {}), place),
        }
        yield from _answers(source, place, record, asked)


def _answers(
    source: Source, place: str, record: Mapping[str, Any], asked: Mapping[str, Any]
) -> Rows:
    sampled = asked.get("sampled")
    answers = sampled if isinstance(sampled, list) else [sampled]
    if not answers or any(is_missing(answer) for answer in answers):
        source.left_out(place, "the model gave no answer")
        return
    for number, answer in enumerate(answers):
        own = record["id"] if len(answers) == 1 else f"{record['id']}-{number}"
        one = {**record, "id": own}
        if isinstance(asked.get("prompt"), str):
            yield place, {**one, "instruction": asked["prompt"], "response": answer}
            continue
        messages = checked_messages(asked.get("prompt"), "data.prompt", place, source)
        answered = checked_messages(
            [{"role": "assistant", "content": answer}], "data.sampled", place, source
        )
        yield from judged_turns(source, place, one, [*messages, *answered])


def _expected(match: Mapping[str, Any]) -> Any:
    expected = match.get("expected")
    return expected[0] if isinstance(expected, list) and expected else expected


def _rating(source: Source, metrics: Mapping[str, Any], place: str) -> dict[str, Any]:
    numbers = {name: value for name, value in metrics.items() if is_number(value)}
    value = source.told_of("rating", numbers, alone=True)
    return {} if value is None else {"rating": source.rating(value, "data", place)}


OPENAI_EVALS = (
    Layout(
        "openai-evals",
        "an event log of OpenAI evals",
        ("spec",),
        _sample_rows,
        takes=("rating",),
        test=lambda row: isinstance(row["spec"], Mapping),
    ),
)
