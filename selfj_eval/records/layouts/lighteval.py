"""lighteval's details: a record an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import ALIASES, Layout, Source
from selfj_eval.records.record import is_number


def _detail_rows(source: Source) -> Rows:
    for place, row in source.rows:
        doc = source.object_in(row, "doc", place)
        answered = source.object_in(row, "model_response", place)
        own = source.text_in(doc, "id", place)
        texts = source.list_in(answered, "text", place)
        kept = answered.get("text_post_processed")  # without the reasoning before the answer
        if isinstance(kept, list) and len(kept) == len(texts):
            texts = kept
        if not texts:
            source.left_out(place, "the model gave no answer")
        asked = doc.get("original_query")
        record = {
            "instruction": asked if _is_text(asked) else source.text_in(doc, "query", place),
            "reference": _gold(doc, source),
            **_rating(source, row, place),
        }
        for number, text in enumerate(texts):
            name = own if len(texts) == 1 else f"{own}-{number}"
            yield place, {"id": name, "response": text, **record}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _gold(doc: Mapping[str, Any], source: Source) -> Any:
    """The first of the right choices."""
    choices, at = doc.get("choices"), doc.get("gold_index")
    at = at if isinstance(at, list) else [at]
    if len(at) > 1:
        source.notices.count(ALIASES)
    first = at[0] if at else None
    if not isinstance(choices, list) or not isinstance(first, int) or first >= len(choices):
        return None
    return choices[first]


def _rating(source: Source, row: Mapping[str, Any], place: str) -> dict[str, Any]:
    metrics = source.object_in(row, "metric", place)
    holders = {name: value for name, value in metrics.items() if is_missing(value) or _rates(value)}
    value = source.told_of("rating", holders, alone=True)
    return {} if is_missing(value) else {"rating": source.rating(value, "metric", place)}


def _rates(value: object) -> bool:
    return is_number(value) or isinstance(value, bool)


LIGHTEVAL = (
    Layout(
        "lighteval",
        "details of lighteval",
        ("doc", "model_response"),
        _detail_rows,
        takes=("rating",),
    ),
)
