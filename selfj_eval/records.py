"""What is judged and what comes out: ``Record`` and ``Judgment``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from selfj_eval.errors import DataError

MAX_CHARACTERS = 1_000_000
"""Longest text a record may hold. The longest answer in public judge data has 113,077
characters; far beyond that a file is damaged, and no judge reads it anyway."""


@dataclass(frozen=True, slots=True)
class Record:
    """One answer to one instruction.

    Attributes:
        id: Unique within a data set.
        instruction: What the model was asked; not empty.
        response: The answer to be judged. May be empty: that is a (bad) answer.
        reference: A good answer to compare with, or None.
        rating: A given rating of the answer (by people, GPT-4, ...), or None.
        rating_min, rating_max: Ends of the rating's scale, or None when unknown.
        model: Who wrote the answer, or None.
        category: Kind of instruction, or None.
        where: File and line the record came from, for messages.
    """

    id: str
    instruction: str
    response: str
    reference: str | None = None
    rating: float | None = None
    rating_min: float | None = None
    rating_max: float | None = None
    model: str | None = None
    category: str | None = None
    where: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Judgment:
    """A judge's verdict on one record.

    A record that could not be judged has an ``error`` and no numbers; it is *unscored*
    and never becomes a number.

    Attributes:
        id: The record's id.
        score: A judge's expected score in [0, 9], or another rater's on its own scale, higher
            for a better answer; None when unscored.
        digit_mass: Probability in [0, 1] the judge gave to the ten digits, or None.
        probabilities: The ten probabilities of 0..9, which sum to 1, or None.
        error: Why there is no score; None when there is one.
        reference_used: Whether the judge saw a reference.
        trimmed_tokens: How many tokens of the record did not fit into the prompt and were
            cut from the middle of its texts.
    """

    id: str
    score: float | None
    digit_mass: float | None
    probabilities: tuple[float, ...] | None
    error: str | None = None
    reference_used: bool = False
    trimmed_tokens: int = 0


_TEXT = ("id", "instruction", "response", "reference", "model", "category")
_NUMBERS = ("rating", "rating_min", "rating_max")
REQUIRED = ("id", "instruction", "response")
RECORD_FIELDS = tuple(f.name for f in fields(Record) if f.name != "where")


def record_from_mapping(
    row: Mapping[str, Any],
    *,
    names: Mapping[str, str] | None = None,
    path: str | None = None,
    place: str | None = None,
) -> Record:
    """Check one row of data and make a ``Record`` of it.

    Args:
        row: Field name to value. Unknown fields are ignored. An integer ``id`` is taken as
            its decimal text.
        names: Field of ``Record`` to the name it has in ``row``, where they differ.
        path, place: Where the row stands (``place`` such as ``line 3``), for errors.

    Returns:
        The record.

    Raises:
        DataError: Naming file, place and field, if a required field is missing or empty, a
            value has the wrong type, a number is not finite, or the rating lies outside
            its scale.
    """
    values = checked_fields(row, required=REQUIRED, names=names or {}, path=path, place=place)
    where = ", ".join(part for part in (path, place) if part) or None
    return Record(**values, where=where)


def checked_fields(
    row: Mapping[str, Any],
    *,
    required: Sequence[str],
    numbers: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    path: str | None = None,
    place: str | None = None,
) -> dict[str, Any]:
    """The fields of a ``Record`` in one row of data, checked; missing ones are left out.

    Args:
        row: Field name to value.
        required: Fields that must be there.
        numbers: More fields that hold a number, if they are there.
        names: As for ``record_from_mapping``, as are ``path``, ``place`` and the errors.
    """
    hint = "%.0s" if names is None else ", or name the field that holds it with --field %s=NAME"
    names = names or {}

    def fail(name: str, message: str) -> DataError:
        return DataError(message, path=path, place=place, field=names.get(name, name))

    values: dict[str, Any] = {}
    for name in _TEXT:
        value = row.get(names.get(name, name))
        if name == "id" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is None:
            if name in required:
                if names.get(name, name) in row:
                    raise fail(name, "is null; every record needs one.")
                have = ", ".join(map(str, row)) or "none"
                raise fail(name, f"missing; the fields here are: {have}. Add it{hint % name}.")
            continue
        if not isinstance(value, str):
            raise fail(name, f"expected text, got {type(value).__name__} ({_short(value)}).")
        if not is_unicode(value):
            raise fail(name, "holds half of a surrogate pair, which is not valid Unicode text.")
        if name == "reference" and not value.strip():
            continue  # an empty cell means: no reference
        values[name] = value
    for name in ("id", "instruction"):
        if name in required and not values[name].strip():
            raise fail(name, "is empty; every record needs one.")
    for name in (*_NUMBERS, *numbers):
        value = row.get(names.get(name, name))
        if value is None:
            if name in required:
                raise fail(name, "is missing; every row needs one.")
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise fail(name, f"expected a number, got {type(value).__name__} ({_short(value)}).")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise fail(name, f"is {number}; give a finite number, or leave the field out.")
        values[name] = number
    low, high, rating = (values.get(name) for name in ("rating_min", "rating_max", "rating"))
    if low is not None and high is not None and not low < high:
        raise fail("rating_max", f"must be above rating_min, got {low:g} and {high:g}.")
    if rating is not None and (
        (low is not None and rating < low) or (high is not None and rating > high)
    ):
        raise fail("rating", f"{rating:g} lies outside its scale {low} to {high}; correct one.")
    return values


def is_unicode(text: str) -> bool:
    """Whether a text is valid: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def reason_not_text(record: Record) -> str | None:
    """Why a record's texts cannot be read by a model, or None."""
    where = f"{record.where}, " if record.where else ""
    for name in ("response", "reference", "instruction"):
        text = getattr(record, name) or ""
        if len(text) > MAX_CHARACTERS:
            return (
                f"{where}field {name!r}: {len(text):,} characters, more than the "
                f"{MAX_CHARACTERS:,} that are judged; shorten it if it is what you mean to judge."
            )
        if not is_unicode(text):
            return f"{where}field {name!r}: holds half of a surrogate pair, which is not text."
    return None


def rescaled(rating: float, low: float | None, high: float | None) -> float:
    """A rating on 0..9, the scale of the scores; as given where its own scale is unknown."""
    if low is None or high is None:
        return rating
    return 9 * (rating - low) / (high - low)


def _short(value: object, limit: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
