"""Ratings by several raters, in records and in separate rows: reading, and refusing bad ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import ladder, score
from selfj_eval.errors import DataError
from selfj_eval.evaluation.evaluate import evaluate
from selfj_eval.judging.scored import as_scores
from selfj_eval.records.reading import read_records

FAST: dict[str, Any] = {"resamples": 20}
SCALE = {"rating_min": 1, "rating_max": 5}
NAMES = ("ann", "bob", "cem")
Jsonl = Callable[..., Path]


def test_score_keeps_them(tmp_path: Path) -> None:
    rows = [r.row() | {"rating": None} for r in ladder(instructions=8)]
    for k, row in enumerate(rows):
        row["ratings"] = {"ann": 1 + k % 5, "bob": 1 + (k + k // 7) % 5, "cem": None}
        row |= SCALE
    made = tmp_path / "in.jsonl"
    made.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for ending in ("jsonl", "csv", "parquet"):
        output = tmp_path / f"out.{ending}"
        result = score(made, judge="demo", output=output)
        assert any(" answers have several ratings: their mean is used" in n for n in result.notices)
        for given in (result, output):
            found = evaluate(given, **FAST)
            assert [r.rater for r in found.raters.raters] == ["ann", "bob"]
            assert found.raters.answers == len(rows)
    one = read_records(made)[1]
    assert (one.rating, one.raters) == (2.0, (("ann", 2.0), ("bob", 2.0)))


def test_a_rating_beside_them_stays(jsonl: Jsonl) -> None:
    row = {"id": "a", "instruction": "i", "response": "r", "rating": 5, "ratings": [1, 2]}
    (record,) = read_records(jsonl(row))
    assert (record.rating, [one.rating for one in record.raters or ()]) == (5, [1, 2])
    only = {"id": "a", "instruction": "i", "response": "r"}
    only["raters"] = [{"rater": "x", "rating": 1}, {"rater": "y", "rating": 4}]  # type: ignore[assignment]
    (record,) = read_records(jsonl(only))
    assert record.rating == 2.5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("a", "ann", 3), ("b", "ann", 4), ("a", "ann", 4)],
            r"ratings\.jsonl, line 3, field 'rating': 'ann' rated 'a' 4 here and 3 in line 1; keep",
        ),
        ([("a", ["ann"], 3)], r"line 1, field 'rater': expected a name, got list"),
        ([("a", "ann", "good")], r"line 1, field 'rating': expected a number, got str"),
        ([("x", "ann", 3)], "has no id in common with"),
    ],
)
def test_rows_that_contradict(jsonl: Jsonl, rows: list[Any], message: str) -> None:
    scores = jsonl({"id": "a", "score": 1}, {"id": "b", "score": 2}, name="scores.jsonl")
    given = [dict(zip(("id", "rater", "rating"), row, strict=True)) for row in rows]
    with pytest.raises(DataError, match=message):
        evaluate(scores, ratings=jsonl(*given, name="ratings.jsonl"), **FAST)


def test_rows_with_and_without_a_rater_stand_in_any_order(jsonl: Jsonl) -> None:
    scores = [{"id": str(k), "score": k} for k in range(4)]
    given: list[dict[str, Any]] = [
        {"id": str(k), "rater": rater, "rating": k + j}
        for k in range(3)
        for j, rater in enumerate(NAMES)
    ]
    alone = {"id": "3", "rating": 5}
    for rows in ([alone, *given], [*given[:4], alone, *given[4:]], [*given, alone]):
        for source in (rows, jsonl(*rows, name="ratings.jsonl")):
            answers = as_scores(scores, ratings=source).answers
            assert [a.rating for a in answers] == [1, 2, 3, 5]
            assert [len(a.raters or ()) for a in answers] == [3, 3, 3, 0]


def test_repeated_ids_say_where_rows_by_rater_belong(jsonl: Jsonl) -> None:
    rows = [{"id": "a", "score": 3, "rater": rater, "rating": 4} for rater in NAMES]
    message = (
        r"scores\.jsonl, line 2, field 'id': 'a' occurs twice, first in line 1; "
        r"ids must be unique\. Put the rows with a `rater` into a separate file; give it as "
        r"`ratings`\."
    )
    with pytest.raises(DataError, match=message):
        evaluate(jsonl(*rows, name="scores.jsonl"), **FAST)
    mixed = [{"id": "a", "rating": 4}, *({"id": "a", "rater": r, "rating": 4} for r in NAMES)]
    message = r"'a' occurs twice, first in line 1; .*Name the `rater` in every row of an answer"
    with pytest.raises(DataError, match=message):
        evaluate([{"id": "a", "score": 3}], ratings=jsonl(*mixed, name="ratings.jsonl"), **FAST)


def test_rows_of_one_id_and_two_texts_are_refused(jsonl: Jsonl) -> None:
    scores = jsonl({"id": "a", "score": 1}, name="scores.jsonl")
    rows = [{"id": "a", "rater": r, "rating": 1, "response": r} for r in ("x", "y")]
    with pytest.raises(DataError, match=r"line 2, field 'response': of 'a' is not the same as in"):
        evaluate(scores, ratings=jsonl(*rows, name="ratings.jsonl"), **FAST)


@pytest.mark.parametrize("bad", [[1, "good"], {"ann": [1]}, 3, "[1, 2", [True, 2]])
def test_what_is_no_list_of_ratings_is_refused(jsonl: Jsonl, bad: Any) -> None:
    row = {"id": "a", "instruction": "i", "response": "r", "ratings": bad}
    with pytest.raises(DataError, match=r"line 1, field 'ratings': expected a list of numbers, or"):
        read_records(jsonl(row))


def test_ratings_off_the_scale_and_repeated_ones(jsonl: Jsonl) -> None:
    row = {"id": "a", "instruction": "i", "response": "r", "ratings": [1, 9]} | SCALE
    with pytest.raises(DataError, match=r"field 'raters': 9 of 'rater 2' lies outside its scale"):
        read_records(jsonl(row))
    scores = [{"id": "a", "score": 1}, {"id": "b", "score": 5}]
    given = [
        {"id": own, "rater": rater, "rating": rating} | SCALE
        for own, rater, rating in [
            *(("a", "x", 2), ("a", "y", 9), ("a", "z", 4), ("b", "x", 5), ("b", "x", 5)),
            ("c", "x", 1),
        ]
    ]
    found = evaluate(scores, ratings=given, **FAST)
    assert "rows that repeat a rater's rating, counted once: 1" in found.warnings
    assert any(
        "1 rating outside the scale skipped; first row 1: 9 is not in 1 to 5 (y)" in w
        for w in found.warnings
    )
    assert "1 rating without an answer here" in found.warnings
    assert found.raters.answers == 1
    assert [r.mean_rating for r in found.raters.raters] == [3.5, 4]


def test_rows_of_answers_and_rows_of_ratings() -> None:
    """A row without a rater holds its answer's place and fields; one with a rating stays alone."""
    answers = [
        {"id": own, "instruction": f"{own}?", "response": f"{own}!", "inclusion": 0.5} | SCALE
        for own in "abcde"
    ]
    pilot = {"id": "p", "response": "p!", "rating": 2, "inclusion": 0.5} | SCALE
    given = [("c", "ann", 4), ("a", "ann", 1), ("a", "bob", 2), ("b", "ann", None)]
    rated = [dict(zip(("id", "rater", "rating"), row, strict=True)) for row in given]
    scores = [{"id": own, "score": k} for k, own in enumerate("pabcde")]
    for rows in ([pilot, *answers, *rated], [pilot, answers[0], *rated[1:3], *answers[1:], *rated]):
        found = as_scores(scores, ratings=rows)
        assert found.chosen == list("pabcde")
        assert [a.rating for a in found.answers] == [2, 1.5, None, 4, None, None]
        assert [a.inclusion for a in found.answers[:4:3]] == [0.5, 0.5]
        assert found.answers[1].instruction == "a?" and found.answers[1].rating_max == 5
        assert [r.rater for r in found.answers[1].raters or ()] == ["ann", "bob"]
    for wrong, message in (
        ([*answers, answers[0], rated[0]], "'a' occurs twice"),
        ([*answers, *rated, answers[2]], "'c' occurs twice"),
        ([answers[0] | {"rating": 3}, *rated], "'a' occurs twice"),
        ([*answers, rated[0] | {"response": "?"}], "is not the same as in"),
    ):
        with pytest.raises(DataError, match=message):
            as_scores(scores, ratings=wrong)
