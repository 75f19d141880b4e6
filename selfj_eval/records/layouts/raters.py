"""Answers that people rated: Argilla, Label Studio; and rows that hold several: UltraFeedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import Layout, Source, is_rating
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.raters import GivenRating, mean_of
from selfj_eval.records.record import is_number

_TOLD = ("instruction", "response", "rating")
_USERS, _STATUS, _RESPONSES = ".responses.users", ".responses.status", ".responses"
_LABEL_STUDIO = ("annotation_id", "annotator", "created_at", "updated_at", "lead_time")


def _rated(ratings: list[GivenRating]) -> dict[str, Any]:
    """Rating and raters of a record; nothing where nobody rated it."""
    if not ratings:
        return {}
    return {"rating": mean_of(ratings), "raters": [one._asdict() for one in ratings]}


def _argilla_rows(source: Source) -> Rows:
    """Argilla's ``to_json``, which has lost whether a rating was submitted or discarded."""
    for place, row in source.rows:
        responses = source.object_in(row, "responses", place)
        holders = {name: given for name, given in responses.items() if _rates(given)}
        ratings = []
        for one in source.told_of("rating", holders, alone=True) or ():
            rating = source.rating(one.get("value"), "responses", place)
            if rating is not None:
                ratings.append(GivenRating(str(one.get("user_id")), rating))
        if ratings:
            source.notices.say(
                "this export does not say which ratings were discarded; "
                "records.to_list(flatten=True) does"
            )
        yield (
            place,
            {
                **source.own_fields(source.object_in(row, "metadata", place)),
                "id": source.text_in(row, "id", place),
                **_asked(source, source.object_in(row, "fields", place), place, "fields"),
                **_rated(ratings),
            },
        )


def _rates(given: Any) -> bool:
    """Whether a question's responses are numbers, each with who gave it."""
    each = given if isinstance(given, list) else []
    values = [one.get("value") for one in each if isinstance(one, Mapping)]
    return bool(values) and len(values) == len(each) and all(map(is_number, values))


def _flat_argilla_rows(source: Source) -> Rows:
    """Argilla's flat rows: a question's responses, users and their status run in parallel."""
    for place, row in source.rows:
        holders = {
            name.removesuffix(_USERS): [row.get(name.removesuffix(_USERS) + end) for end in _ENDS]
            for name in row
            if name.endswith(_USERS)
        }
        ratings = []
        for value, user, status in _parallel(source, place, holders):
            if status != "submitted":
                source.notices.count(f"ratings that are {status}, not used")
                continue
            rating = source.rating(value, "responses", place)
            if rating is not None:
                ratings.append(GivenRating(str(user), rating))
        yield (
            place,
            {
                **source.own_fields(row),
                **_asked(source, row, place, None),
                **_rated(ratings),
            },
        )


_ENDS = (_RESPONSES, _USERS, _STATUS)


def _parallel(
    source: Source, place: str, holders: Mapping[str, list[Any]]
) -> list[tuple[Any, Any, Any]]:
    """Value, user and status of each response to the question that rates."""
    lists = source.told_of("rating", source.raters(holders, _all_rate), alone=True)
    if lists is None or all(is_missing(given) for given in lists):
        return []
    if not all(isinstance(given, list) and len(given) == len(lists[0]) for given in lists):
        raise source.error(place, "responses", "values, users and status have different lengths.")
    return list(zip(*lists, strict=True))


def _all_rate(lists: list[Any]) -> bool:
    """Whether the responses to a question of flat rows can all be ratings."""
    values = lists[0]
    return is_missing(values) or (isinstance(values, list) and all(map(is_rating, values)))


def _asked(
    source: Source, holder: Mapping[str, Any], place: str, what: str | None
) -> dict[str, Any]:
    """Instruction and response, and what belongs to the question."""
    more = {name: holder[name] for name in QUESTION_FIELDS if name in holder}
    return more | source.named(holder, place, what, "instruction", "response")


def _label_studio_rows(source: Source) -> Rows:
    """Label Studio's JSON: annotations that their rater has skipped are not used."""
    for place, row in source.rows:
        data = source.object_in(row, "data", place)
        ratings, stars = list[GivenRating](), False
        for annotation in source.list_in(row, "annotations", place):
            if not isinstance(annotation, Mapping):
                raise source.error(place, "annotations", "expected objects.")
            if annotation.get("was_cancelled"):
                source.notices.count("annotations that were skipped, not used")
                continue
            value, kind = _annotated(source, annotation, place)
            rating = None if value is None else source.rating(value, "annotations", place)
            if rating is not None:
                stars = stars or kind == "rating"
                ratings.append(GivenRating(_rater(annotation), rating))
        lowest = {"rating_min": 1.0} if stars else {}  # of stars, whose highest is not in the file
        yield (
            place,
            {
                **source.own_fields(data),
                "id": source.text_in(row, "id", place),
                **_asked(source, data, place, "data"),
                **_rated(ratings),
                **lowest,
            },
        )


def _annotated(source: Source, annotation: Mapping[str, Any], place: str) -> tuple[Any, Any]:
    """What an annotation says of the control that rates, and the control's kind."""
    holders = {}
    for result in source.list_in(annotation, "result", place):
        value = result.get("value") if isinstance(result, Mapping) else None
        kind = result.get("type") if isinstance(result, Mapping) else None
        if isinstance(value, Mapping) and kind in ("rating", "number", "choices"):
            given = value.get(kind)
            given = given[0] if isinstance(given, list) and len(given) == 1 else given
            holders[str(result.get("from_name"))] = (given, kind)
    may = source.raters(holders, lambda held: is_rating(held[0]))
    found = source.told_of("rating", may, alone=True)
    return (None, None) if found is None else found


def _rater(annotation: Mapping[str, Any]) -> str:
    """Who annotated: the number alone, of an object with an address."""
    by = annotation.get("completed_by")
    return str(by.get("id") if isinstance(by, Mapping) else by)


def _label_studio_table_rows(source: Source) -> Rows:
    """Label Studio's CSV: one line a rater, so that an id stands in several."""
    found: dict[str, tuple[str, dict[str, Any], list[GivenRating]]] = {}
    raters: dict[str, str] = {}
    for place, row in source.rows:
        own = source.text_in(row, "id", place)
        if own not in found:
            record = {**source.own_fields(row), **_asked(source, row, place, None)}
            for name in ("rating", "raters"):
                record.pop(name, None)
            found[own] = (place, {**record, "id": own}, [])
        holders = {name: row[name] for name in row if name not in _LABEL_STUDIO}
        rating = source.told_of("rating", holders)
        if "rating" in source.told and not is_missing(rating):
            value = source.rating(rating, source.told["rating"], place)
            name = source.text_in(row, "annotator", place)
            # An address is no one's business but the project's.
            rater = raters.setdefault(name, f"rater {len(raters) + 1}") if "@" in name else name
            if value is not None:
                found[own][2].append(GivenRating(rater, value))
    for place, record, ratings in found.values():
        yield place, {**record, **_rated(ratings)}


def _several_rows(source: Source) -> Rows:
    """UltraFeedback's: several models' answers a row, each rated on several aspects."""
    for number, (place, row) in enumerate(source.rows):
        own = row.get("id", number)
        own = number if is_missing(own) else own
        answers = source.list_in(row, "completions", place)
        if not answers:
            source.left_out(place, "no answers (completions is empty)")
        for k, answer in enumerate(answers):
            where = f"{place}, answer {k}"
            if not isinstance(answer, Mapping) or "response" not in answer:
                raise source.error(where, "completions", "expected objects with a response.")
            holders = {
                name: answer[name]
                for name in ("overall_score", "fine-grained_score")
                if name in answer
            }
            for name, aspect in source.object_in(answer, "annotations", where).items():
                if isinstance(aspect, Mapping) and "Rating" in aspect:
                    holders[name] = aspect["Rating"]
            value = source.told_of("rating", holders)
            rating = None
            if "rating" in source.told and source.told["rating"] in holders:
                rating = source.rating(value, "completions", where)
            yield (
                where,
                {
                    **{name: row[name] for name in QUESTION_FIELDS if name in row},
                    "id": f"{own}-{k}",
                    "instruction": source.text_in(row, "instruction", where),
                    "response": answer.get("response"),
                    "model": answer.get("model"),
                    "rating": rating,
                },
            )


def _has_answers(row: Mapping[str, Any]) -> bool:
    answers = row["completions"]
    first = answers[0] if isinstance(answers, list) and answers else None
    return isinstance(first, Mapping) and "response" in first


RATERS = (
    Layout(
        "argilla",
        "records of Argilla",
        ("fields", "responses", "suggestions"),
        _argilla_rows,
        takes=_TOLD,
    ),
    Layout(
        "argilla-flat",
        "flat records of Argilla",
        ("_server_id", "status"),
        _flat_argilla_rows,
        without=("fields",),
        takes=_TOLD,
        beside=True,
    ),
    Layout(
        "label-studio",
        "tasks of Label Studio",
        ("data", "annotations"),
        _label_studio_rows,
        takes=_TOLD,
    ),
    Layout(
        "label-studio-table",
        "a table of Label Studio's annotations",
        ("annotation_id", "annotator", "id"),
        _label_studio_table_rows,
        takes=_TOLD,
        beside=True,
    ),
    Layout(
        "ultrafeedback",
        "several models' answers per row (UltraFeedback)",
        ("instruction", "completions"),
        _several_rows,
        takes=("rating",),
        test=_has_answers,
    ),
)
