"""Ratings in rows of their own: one row for each answer and ``rater``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from selfj_eval.errors import DataError
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ScaleOptions
from selfj_eval.records.ratings import RATINGS, rating_in, stands_for_none
from selfj_eval.records.texts import shortened

RATER = "rater"
"""Field of a row that says whose rating it holds."""
_SAME = ("instruction", "response", "rating_min", "rating_max", "inclusion")


def on_no_rating(columns: Sequence[object]) -> tuple[str, str]:
    """The field that holds no rating in any row, and what to do about it.

    Args:
        columns: The fields of the first row.
    """
    for name in ("rating", RATINGS):
        if name in columns:
            return name, f"no row has a rating: the column {name!r} is empty; write them there."
    have = ", ".join(map(str, columns))
    return "rating", (
        f"no row has a rating; the first has: {have}. Give the ratings in a column 'rating' (with "
        f"several raters one row for each answer and rater, named in a column {RATER!r}), or all "
        f"ratings of an answer in a column {RATINGS!r}, as a list or by rater."
    )


class _Answer(NamedTuple):
    """What the rows of one id say: the place of the first, its fields, each rater's rating."""

    place: str
    row: dict[str, Any]
    given: dict[str, tuple[float, str]]


def one_row_an_answer(
    rows: Rows, *, path: Path | None, scale: ScaleOptions, notices: Notices
) -> Rows:
    """Rows with the ratings of all raters of an answer, from rows that hold one rater's.

    A row without a rater and a rating, as ``selfj rate`` writes for every answer, holds the other
    fields of its answer's rows, and its place. Rows that have a rating and no rater stay as they
    are.

    Args:
        rows: The rows, each with its place.
        path: The file they are from, for errors.
        scale: What stands for no rating.
        notices: Counts what was left out.

    Raises:
        DataError: If a rater gave one answer two different ratings, the rows of an answer differ
            in its text, scale or inclusion probability, or something is no rating or no name.
    """
    found, answers = list[tuple[str, Mapping[str, Any]]](), dict[str, _Answer]()
    for place, row in rows:
        own = "" if is_missing(row.get("id")) else str(row["id"])
        if not own or (is_missing(row.get(RATER)) and (own in answers or _is_rated(row))):
            found.append((place, row))  # an id that is there twice is refused later
            continue
        if own not in answers:
            answers[own] = _Answer(place, dict(row), {})
            found.append((place, answers[own].row))
        if is_missing(row.get(RATER)):
            continue
        answer = answers[own]
        _refuse_another(answer, row, own, path, place)
        answer.row.update({k: v for k, v in row.items() if is_missing(answer.row.get(k))})
        _add(answer, row, own, path, place, scale, notices)
        ratings = {rater: rating for rater, (rating, _) in answer.given.items()}
        answer.row.update({"rating": None, RATINGS: ratings})
    yield from found


def _is_rated(row: Mapping[str, Any]) -> bool:
    return not all(is_missing(row.get(name)) for name in ("rating", RATINGS, "raters"))


def _refuse_another(
    answer: _Answer, row: Mapping[str, Any], own: str, path: Path | None, place: str
) -> None:
    """Refuse a row of the same id that is about another answer, scale or choice of answers."""
    for name in _SAME:
        one, two = answer.row.get(name), row.get(name)
        if not is_missing(one) and not is_missing(two) and one != two:
            message = f"of {own!r} is not the same as in {answer.place}; correct one."
            raise DataError(message, path=path, place=place, field=name)


def _add(
    answer: _Answer,
    row: Mapping[str, Any],
    own: str,
    path: Path | None,
    place: str,
    scale: ScaleOptions,
    notices: Notices,
) -> None:
    """Add the rating of a row to those of its answer."""
    rater, value = row[RATER], row.get("rating")
    if isinstance(rater, bool) or not isinstance(rater, str | int):
        message = f"expected a name, got {type(rater).__name__} ({shortened(rater)})."
        raise DataError(message, path=path, place=place, field=RATER)
    if is_missing(value) or stands_for_none(value, scale, notices):
        return
    rating, rater = rating_in(value), str(rater)
    if rating is None:
        message = f"expected a number, got {type(value).__name__} ({shortened(value)})."
        raise DataError(message, path=path, place=place, field="rating")
    before = answer.given.setdefault(rater, (rating, place))
    if before[0] != rating:
        message = (
            f"{rater!r} rated {own!r} {rating:g} here and {before[0]:g} in {before[1]}; keep one."
        )
        raise DataError(message, path=path, place=place, field="rating")
    if before[1] != place:
        notices.count("rows that repeat a rater's rating, counted once")
