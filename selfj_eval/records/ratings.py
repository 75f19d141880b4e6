"""What stands in a row as its rating: a number, a number as text, several, or none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.files.documents import parse_json
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ScaleOptions
from selfj_eval.records.raters import GivenRating, given_ratings, mean_of

RATINGS = "ratings"
"""Field of a row with several ratings: a list, one place a rater, or a mapping from raters."""
_WANTED = "expected a list of numbers, or numbers by rater"
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.A)


def number_in(text: str) -> float | None:
    """The number that a text spells, and nothing else; None if it does not."""
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def rating_in(value: object) -> float | None:
    """The finite number that a value is, or spells; None if it is none."""
    number = number_in(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    try:
        return float(number) if math.isfinite(number) else None
    except OverflowError:  # an integer far beyond what a float holds
        return None


def with_rating(
    row: Mapping[str, Any],
    options: ScaleOptions,
    notices: Notices,
    names: Mapping[str, str] | None = None,
    *,
    path: str | None = None,
    place: str | None = None,
) -> Mapping[str, Any]:
    """A row whose rating is one value, with its scale, and whose ``raters`` say who gave which.

    Several ratings of an answer stand in ``ratings`` or, as a list, in ``rating``. Where no single
    rating is given, it is their mean.

    Args:
        row: Field name to value.
        options: The scale of ratings that have none, and what stands for no rating.
        notices: Counts what was changed.
        names: Field of ``Record`` to the name it has in ``row``, where they differ.
        path, place: Where the row stands, for errors.

    Raises:
        DataError: If ``ratings`` holds something else than ratings.
    """
    names = names or {}
    name = names.get("rating", "rating")
    value = row.get(name)
    changes: dict[str, Any] = {}
    try:
        several = _several(row, name, options)
    except DataError as error:
        raise DataError(error.message, path=path, place=place, field=error.field) from None
    if several is not None:
        changes[names.get("raters", "raters")] = [one._asdict() for one in several] or None
        if is_missing(value) or isinstance(value, list | dict):
            if len(several) > 1:
                notices.count(
                    "1 answer has several ratings: their mean is used",
                    "{} answers have several ratings: their mean is used",
                )
            changes[name] = value = mean_of(several)
    elif is_missing(value):
        return row
    elif stands_for_none(value, options, notices):
        changes[name] = value = None
    if options.scale is not None and value is not None:
        ends = (names.get(field, field) for field in ("rating_min", "rating_max"))
        given = zip(ends, options.scale, strict=True)
        changes |= {end: own for end, own in given if is_missing(row.get(end))}
    return {**row, **changes} if changes else row


def _several(row: Mapping[str, Any], name: str, options: ScaleOptions) -> list[GivenRating] | None:
    """The ratings of a row that has several, by rater; None where it has not."""
    if isinstance(row.get(name), list | dict):
        return _by_rater(row[name], options)  # None: checked, and refused, as a single rating
    value = row.get(RATINGS)
    if isinstance(value, str):  # in a table it is JSON
        try:
            value = parse_json(value, strict=False) if value.strip() else None
        except ValueError:
            raise DataError(f"{_WANTED}, got text ({value!r:.40}).", field=RATINGS) from None
    if is_missing(value):
        return None
    found = _by_rater(value, options)
    if found is None:
        raise DataError(f"{_WANTED}, got {value!r:.60}.", field=RATINGS)
    return found


def _by_rater(values: Any, options: ScaleOptions) -> list[GivenRating] | None:
    """The ratings in a list, or in a mapping from raters; None if something in it is none."""
    if isinstance(values, Mapping):
        named = [(str(rater), value) for rater, value in values.items()]
    elif isinstance(values, list):
        named = [(f"rater {k}", value) for k, value in enumerate(values, 1)]
    else:
        return None
    found = list[GivenRating]()
    for rater, value in named:
        if is_missing(value) or _stands_for_none(value, options):
            continue
        number = rating_in(value)
        if number is None:
            return None
        found.append(GivenRating(rater, number))
    return found


def stands_for_none(value: object, options: ScaleOptions, notices: Notices) -> bool:
    """Whether the user says that this rating stands for none; counts it if so."""
    found = _stands_for_none(value, options)
    if found:
        notices.count(f"ratings of {_shown(options.missing_rating)}, read as no rating")
    return found


def _stands_for_none(value: object, options: ScaleOptions) -> bool:
    nothing = options.missing_rating
    if nothing is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    number = number_in(str(nothing))
    same = number is not None and number_in(str(value)) == number
    return same or str(value).strip() == str(nothing)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def rescaled(rating: float, low: float | None, high: float | None) -> float:
    """A rating on 0..9, the scale of the scores; as given where its own scale is unknown."""
    if low is None or high is None:
        return rating
    return 9 * (rating - low) / (high - low)


def check_scale(
    rating: float | None,
    low: float | None,
    high: float | None,
    raters: Iterable[GivenRating] = (),
) -> None:
    """Refuse a scale whose ends are the wrong way round, and a rating outside its scale.

    Raises:
        DataError: Naming the field.
    """
    if low is not None and high is not None and not low < high:
        message = f"must be above rating_min, got {low:g} and {high:g}."
        raise DataError(message, field="rating_max")
    each = [("raters", f"{one.rating:g} of {one.rater!r}", one.rating) for one in raters]
    if rating is not None:
        each.insert(0, ("rating", f"{rating:g}", rating))
    for field_name, shown, value in each:
        if (low is not None and value < low) or (high is not None and value > high):
            ends = f"from {low}" if high is None else f"{'' if low is None else f'{low} '}to {high}"
            message = f"{shown} lies outside its scale {ends}; correct one."
            raise DataError(message, field=field_name)


def without_off_scale(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """A row without the ratings that cannot be on its scale, and what is wrong with each.

    Where the rating is the mean of its raters', it becomes that of the others.
    """
    low, high = (rating_in(row.get(name)) for name in ("rating_min", "rating_max"))
    if low is None or high is None or not low < high:
        return row, []

    def why(rating: float) -> str | None:
        return None if low <= rating <= high else f"{rating:g} is not in {low:g} to {high:g}"

    rating, off = rating_in(row.get("rating")), list[str]()
    try:
        given = given_ratings(row.get("raters")) or ()
    except DataError:
        given = ()  # refused where the row is checked
    kept = [one for one in given if why(one.rating) is None]
    if len(kept) < len(given):
        off += [f"{why(one.rating)} ({one.rater})" for one in given if why(one.rating)]
        if rating is None or math.isclose(rating, mean_of(given) or 0.0):
            rating = mean_of(kept)
        row = {**row, "raters": [one._asdict() for one in kept] or None, "rating": rating}
    if rating is not None and (wrong := why(rating)):
        off.append(wrong)
        row = {name: value for name, value in row.items() if name != "rating"}
    return row, off
