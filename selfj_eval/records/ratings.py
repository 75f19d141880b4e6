"""What stands in a row as its rating: a number, a number as text, several, or none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ScaleOptions

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.A)


def number_in(text: str) -> float | None:
    """The number that a text spells, and nothing else; None if it does not."""
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def with_rating(
    row: Mapping[str, Any],
    options: ScaleOptions,
    notices: Notices,
    names: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    """A row whose rating is one value, with its scale.

    Of several ratings the mean is taken.

    Args:
        row: Field name to value.
        options: The scale of ratings that have none, and what stands for no rating.
        notices: Counts what was changed.
        names: Field of ``Record`` to the name it has in ``row``, where they differ.
    """
    names = names or {}
    name, *ends = (names.get(field, field) for field in ("rating", "rating_min", "rating_max"))
    value = row.get(name)
    if is_missing(value):
        return row
    changes: dict[str, Any] = {}
    if isinstance(value, list) and (several := _numbers(value, options)) is not None:
        notices.count("lists of ratings; their mean is used")
        changes[name] = value = sum(several) / len(several) if several else None
    elif stands_for_none(value, options, notices):
        changes[name] = value = None
    if options.scale is not None and value is not None:
        given = zip(ends, options.scale, strict=True)
        changes |= {end: own for end, own in given if is_missing(row.get(end))}
    return {**row, **changes} if changes else row


def _numbers(values: list[Any], options: ScaleOptions) -> list[float] | None:
    """The ratings in a list; None if something in it is none."""
    found = list[float]()
    for value in values:
        if is_missing(value) or _stands_for_none(value, options):
            continue
        number = number_in(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            return None
        found.append(float(number))
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
