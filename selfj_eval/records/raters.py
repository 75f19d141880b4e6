"""Ratings that several people, or several runs of a judge, gave to one answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from selfj_eval.errors import DataError
from selfj_eval.files.documents import parse_json
from selfj_eval.jobs.arguments import is_missing


class GivenRating(NamedTuple):
    """One rating of an answer.

    Attributes:
        rater: Who gave it; one may have given several.
        rating: On the scale of the record.
    """

    rater: str
    rating: float


def mean_of(ratings: Iterable[GivenRating]) -> float | None:
    """The mean of the ratings; None without any."""
    values = [one.rating for one in ratings]
    return math.fsum(values) / len(values) if values else None  # in any order the same


def given_ratings(value: Any) -> tuple[GivenRating, ...] | None:
    """Ratings as they stand in a file, or in memory; None where there are none.

    Args:
        value: A list of pairs, or of objects with ``rater`` and ``rating``; in a table it is JSON.

    Raises:
        DataError: If it is something else.
    """
    message = "expected a list of objects with 'rater' and 'rating'"
    if isinstance(value, str):
        try:
            value = parse_json(value, strict=False) if value.strip() else None
        except ValueError as error:
            raise DataError(f"{message}, got text ({value!r:.40}).", field="raters") from error
    if is_missing(value) or (isinstance(value, list | tuple) and not value):
        return None
    if not isinstance(value, list | tuple):
        raise DataError(f"{message}, got {type(value).__name__}.", field="raters")
    found = []
    for item in value:
        pair = (item.get("rater"), item.get("rating")) if isinstance(item, Mapping) else item
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise DataError(f"{message}; one of them is {item!r:.40}.", field="raters")
        rater, rating = pair
        if not isinstance(rater, str) or isinstance(rating, bool | str) or is_missing(rating):
            raise DataError(f"{message}; one of them is {item!r:.40}.", field="raters")
        try:
            number = float(rating)
        except (TypeError, ValueError, OverflowError):
            number = math.inf
        if not math.isfinite(number):
            raise DataError(f"{message}; one of them is {item!r:.40}.", field="raters")
        found.append(GivenRating(rater, number))
    return tuple(found)
