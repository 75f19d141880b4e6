"""DeepEval's test runs: a record a test case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import Layout, Source


def _case_rows(source: Source) -> Rows:
    for place, row in source.rows:
        if "actualOutput" not in row:
            source.left_out(place, "a conversational test case, or one without an answer")
            continue
        yield (
            place,
            {
                "id": source.text_in(row, "order", place),
                "instruction": source.text_in(row, "input", place),
                "response": row["actualOutput"],
                "reference": row.get("expectedOutput"),
                **_rating(source, row, place),
            },
        )


def _rating(source: Source, row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The score of the metric; one that failed has an error and no score."""
    metrics: dict[str, Mapping[str, Any]] = {}
    given = row.get("metricsData")
    for metric in [] if is_missing(given) else source.list_in(row, "metricsData", place):
        if not isinstance(metric, Mapping) or not isinstance(metric.get("name"), str):
            raise source.error(place, "metricsData", "expected objects with a name.")
        metrics[metric["name"]] = metric
    metric = source.told_of("rating", metrics, alone=True)
    if metric is None:
        return {}
    if metric.get("error"):
        source.notices.count("metrics that failed, not used as ratings")
        return {}
    rating = source.rating(metric.get("score"), "metricsData", place)
    return {} if rating is None else {"rating": rating, "rating_min": 0.0, "rating_max": 1.0}


def _is_case(row: Mapping[str, Any]) -> bool:
    return "actualOutput" in row or "turns" in row


DEEPEVAL = (
    Layout(
        "deepeval",
        "test cases of DeepEval",
        ("order", "success", "metricsData"),
        _case_rows,
        takes=("rating",),
        test=_is_case,
    ),
)
