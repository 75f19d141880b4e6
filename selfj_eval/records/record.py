"""What is judged and what comes out: ``Record`` and ``Judgment``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeGuard

from selfj_eval.errors import DataError, printable
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.conversations import Turn, as_text, conversation, messages_of
from selfj_eval.records.names import on_missing
from selfj_eval.records.notices import Notices
from selfj_eval.records.questions import NOT_TEXT, QUESTION_FIELDS, UnreadableError, whole_question
from selfj_eval.records.raters import GivenRating, given_ratings, mean_of
from selfj_eval.records.ratings import check_scale, number_in
from selfj_eval.records.texts import is_unicode, shortened

_NOT_SHOWN = "(not text)"  # stands for a question of nothing else than, say, an image
NO_ANSWER = "there is no answer: the response is null"
"""Why a record without a response is unscored."""


@dataclass(frozen=True, slots=True)
class Record:
    """One answer to one instruction, or the last turn of a conversation.

    A number as id is read as its decimal text. If ``instruction``, ``response`` or ``reference``
    is not text, the record is unscored when it is judged.

    Attributes:
        id: Unique within a data set.
        instruction: What the model was asked; not empty. In a conversation, the last user turn.
        response: The answer to be judged. May be empty, which is a (bad) answer. None or NaN is no
            answer: it becomes an empty text with an ``error``.
        reference: A good answer to compare with, or None.
        rating: A given rating of the answer (by people, GPT-4, ...), or None.
        rating_min, rating_max: Ends of the rating's scale, or None when unknown.
        model: Who wrote the answer, or None.
        category: Kind of instruction, or None.
        error: Why there is no answer to judge, or None. Such a record is unscored.
        where: File and line the record came from, for messages.
        messages: All turns before the answer, where that is more than one user turn; else None.
            In Python also chat messages (objects with ``role`` and ``content``).
        raters: Who gave which rating, where that is known; where ``rating`` is None it becomes
            their mean.

    Raises:
        DataError: If the id, the model or the category is not text, a rating is not a finite number
            or lies outside its scale, or the messages do not contain the instruction; the error
            names the field.
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
    error: str | None = None
    where: str | None = field(default=None, compare=False, repr=False)
    messages: tuple[Turn, ...] | None = None
    raters: tuple[GivenRating, ...] | None = None

    def __post_init__(self) -> None:
        if is_missing(self.response):
            object.__setattr__(self, "response", "")
            object.__setattr__(self, "error", self.error or NO_ANSWER)
        for name in _OPTIONAL:  # NaN is what a table has for nothing
            if is_missing(getattr(self, name)):
                object.__setattr__(self, name, None)
        if isinstance(self.reference, str) and not self.reference.strip():  # as in a file
            object.__setattr__(self, "reference", None)
        if type(self.id) is not str:
            object.__setattr__(self, "id", _text_of_id(self.id))
        for name in ("model", "category"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                message = f"expected text, got {type(value).__name__} ({shortened(value)})."
                raise DataError(message, field=name)
        if self.raters is not None:
            object.__setattr__(self, "raters", given_ratings(self.raters))
            if self.rating is None:
                object.__setattr__(self, "rating", mean_of(self.raters or ()))
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and (type(value) is not float or not math.isfinite(value)):
                object.__setattr__(self, name, _number_of(value, name))
        if self.rating is not None or self.rating_max is not None:
            check_scale(self.rating, self.rating_min, self.rating_max, self.raters or ())
        if self.messages is not None:
            try:
                asked, turns = conversation(self.messages, self.instruction)
            except ValueError as error:
                raise DataError(f"{error}.", field="messages") from None
            object.__setattr__(self, "instruction", asked)
            object.__setattr__(self, "messages", turns)

    @property
    def question(self) -> str:
        """What was asked, as one text: the instruction, or the whole conversation.

        This is what judges and raters are shown, and what answers to the same question share.
        """
        return self.instruction if self.messages is None else as_text(self.messages)

    def row(self) -> dict[str, Any]:
        """Its fields as they are in a file: a missing answer is null."""
        values = {name: getattr(self, name) for name in RECORD_FIELDS}
        if self.messages is not None:
            values["messages"] = messages_of(self.messages)
        if self.raters is not None:
            values["raters"] = [one._asdict() for one in self.raters]
        return values if self.error is None else values | {"response": None}


@dataclass(frozen=True, slots=True)
class Judgment:
    """A judge's verdict on one record.

    A record that could not be judged has an ``error`` and no numbers; it is *unscored*
    and never becomes a number.

    Attributes:
        id: The record's id.
        score: A judge's expected score, in [0, 9] or on its template's scale, or another rater's
            on its own, higher for a better answer; None when unscored. Of several criteria their
            weighted mean.
        digit_mass: Probability in [0, 1] the judge gave to the ten digits, or to the labels of its
            template, or None. Of several criteria the lowest.
        probabilities: The probabilities of the digits 0..9 or of the template's labels, which sum
            to 1, or None, as of several criteria.
        error: Why there is no score; None when there is one.
        reference_used: Whether the judge saw a reference.
        trimmed_tokens: How many tokens of the record did not fit into the prompt and were
            cut from the middle of its texts.
        criteria: Of a rubric's criteria, names and scores, None for an unscored one.
    """

    id: str
    score: float | None
    digit_mass: float | None
    probabilities: tuple[float, ...] | None
    error: str | None = None
    reference_used: bool = False
    trimmed_tokens: int = 0
    criteria: tuple[tuple[str, float | None], ...] = ()


_TEXT = ("id", "instruction", "response", "reference", "model", "category")
_NUMBERS = ("rating", "rating_min", "rating_max")
_OPTIONAL = ("reference", *_NUMBERS, "model", "category", "messages", "raters")
REQUIRED = ("id", "instruction", "response")
RECORD_FIELDS = tuple(f.name for f in fields(Record) if f.name not in ("error", "where"))


def record_from_mapping(
    row: Mapping[str, Any],
    *,
    names: Mapping[str, str] | None = None,
    number: int | None = None,
    path: str | None = None,
    place: str | None = None,
    notices: Notices | None = None,
) -> Record:
    """Check one row of data and make a ``Record`` of it.

    Args:
        row: Field name to value. Unknown fields are ignored. A number where a text is expected is
            taken as its decimal text. ``QUESTION_FIELDS`` become part of the instruction. A null
            response gives a record with an error; NaN is null.
        names: Field of ``Record`` to the name it has in ``row``, where they differ.
        number: The id, where rows have none.
        path, place: Where the row stands (``place`` such as ``line 3``), for errors.
        notices: Gets what was converted.

    Returns:
        The record.

    Raises:
        DataError: Naming file, place and field, if a required field is missing or empty, a
            value has the wrong type, a number is not finite, or the rating lies outside
            its scale.
    """
    names = names or {}
    error = None
    answer = names.get("response", "response")
    if answer in row and is_missing(row[answer]):
        given = row.get("error")
        given = given if isinstance(given, str) else ""
        if given and NO_ANSWER not in given and NOT_TEXT not in given:
            given = f"{NO_ANSWER} ({given})"
        error = given or NO_ANSWER
        row = {**row, answer: ""}
        if notices is not None:
            notices.count("null responses, which are not answers")
    required = REQUIRED if number is None else REQUIRED[1:]
    checked: dict[str, Any] = {"names": names, "path": path, "place": place, "notices": notices}
    try:
        values = checked_fields(row, required=required, **checked)
    except UnreadableError as unreadable:
        error = unreadable.message
        others = {names.get(name, name) for name in QUESTION_FIELDS}
        row = {name: value for name, value in row.items() if name not in others}
        if is_missing(row.get(asked := names.get("instruction", "instruction"))):
            row = {**row, asked: _NOT_SHOWN}
        values = checked_fields(row, required=required, **checked)
        if notices is not None:
            notices.count("questions that contain something other than text, unscored")
    if number is not None:
        values["id"] = str(number)
    where = ", ".join(part for part in (path, place) if part) or None
    return Record(**values, error=error, where=where)


def checked_fields(
    row: Mapping[str, Any],
    *,
    required: Sequence[str],
    numbers: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    path: str | None = None,
    place: str | None = None,
    notices: Notices | None = None,
) -> dict[str, Any]:
    """The fields of a ``Record`` in one row of data, checked; missing ones are skipped.

    Args:
        row: Field name to value.
        required: Fields that must be there.
        numbers: More fields that hold a number, if they are there.
        names: As for ``record_from_mapping``, as are ``path``, ``place``, ``notices`` and the
            errors.
    """
    can_name, names = names is not None, names or {}

    def fail(name: str, message: str) -> DataError:
        return DataError(message, path=path, place=place, field=names.get(name, name))

    values: dict[str, Any] = {}
    given = {n: v for n, v in row.items() if v.__class__ is str or not is_missing(v)}
    asked = {n: given[own] for n in QUESTION_FIELDS if (own := names.get(n, n)) in given}
    has_messages = asked.get("messages") not in (None, "", [])
    for name in _TEXT:
        value = given.get(names.get(name, name))
        if value is None:
            if name in required and not (name == "instruction" and has_messages):
                if names.get(name, name) in row:
                    raise fail(name, "is null or empty; every record needs one.")
                missing = [field for field in required if names.get(field, field) not in row]
                message = on_missing(missing, row, can_name)
                if len(missing) == 1:
                    raise fail(name, message)
                raise DataError(message, path=path, place=place)
            continue
        # As an id, 7.0 may be the number 7 or the text "7.0".
        if (
            not isinstance(value, str)
            and is_number(value)
            and (name != "id" or isinstance(value, int))
        ):
            if notices is not None and name != "id":
                notices.count(f"numbers read as text in {name!r}")
            value = json.dumps(value)
        if not isinstance(value, str):
            hint = " Write it as an integer or in quotes." if name == "id" else ""
            raise fail(name, f"expected text, got {_kind(value)} ({shortened(value)}).{hint}")
        if not is_unicode(value):
            raise fail(name, "holds half of a surrogate pair, which is not valid Unicode text.")
        if name == "reference" and not value.strip():
            continue  # an empty cell means: no reference
        values[name] = value
    for name in ("id", "instruction"):
        if name in required and not values.get(name, "-").strip():
            raise fail(name, "is empty; every record needs one.")
    if asked and ("instruction" in values or has_messages):
        more = {n: v for n, v in asked.items() if n in names or n not in names.values()}
        instruction, response = values.get("instruction"), values.get("response")
        question = whole_question(instruction, response, more, fail, notices)
        values["instruction"] = question.instruction
        if question.messages is not None:
            values["messages"] = question.messages
    if (by_rater := given.get(names.get("raters", "raters"))) is not None:
        try:
            values["raters"] = given_ratings(by_rater)
        except DataError as error:
            raise fail("raters", error.message) from None
    raters = values.get("raters") or ()
    for name in (*_NUMBERS, *numbers):
        value = given.get(names.get(name, name))
        if value is None:
            if name in required:
                raise fail(name, "is missing; every row needs one.")
            continue
        if isinstance(value, str) and (written := number_in(value)) is not None:
            value = written
            if notices is not None:
                notices.count(f"numbers written as text in {name!r}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise fail(name, f"expected a number, got {type(value).__name__} ({shortened(value)}).")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise fail(name, f"is {number}; give a finite number, or leave the field out.")
        values[name] = number
    if raters and "rating" not in values:
        values["rating"] = mean_of(raters)
    low, high, rating = map(values.get, ("rating_min", "rating_max", "rating"))
    try:
        check_scale(rating, low, high, raters)
    except DataError as error:
        advice = (
            " If it means that there is no rating, give it as `missing_rating`." if can_name else ""
        )
        message = error.message + (advice if error.field in ("rating", "raters") else "")
        raise fail(error.field or "rating", message) from None
    return values


def _text_of_id(value: object) -> str:
    """An id as text; a whole number as its digits, as in a file."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))
    raise DataError(f"expected text, got {type(value).__name__} ({shortened(value)}).", field="id")


def _number_of(value: object, name: str) -> float:
    """A finite number, whatever holds it."""
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number):
            return number
    message = f"expected a finite number, got {type(value).__name__} ({shortened(value)})."
    raise DataError(message, field=name)


def question_of(
    row: Mapping[str, Any], *, path: str | Path, place: str, notices: Notices | None = None
) -> str:
    """The whole question of a row: its ``instruction`` with what other fields add to it.

    Args:
        row: Field name to value.
        path, place: Where it stands, for errors.
        notices: Counts what was added.

    Raises:
        DataError: If there is no instruction, or a field that belongs to the question is no text.
    """
    # Ignored fields keep their names, which the message on a missing one lists.
    known = {k: v if k in ("instruction", *QUESTION_FIELDS) else None for k, v in row.items()}
    values = checked_fields(
        known, required=("instruction",), path=printable(path), place=place, notices=notices
    )
    turns = values.get("messages")
    return str(values["instruction"]) if turns is None else as_text(turns)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number; a truth value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer far beyond what a float holds
        return False


def _kind(value: object) -> str:
    """The type of a value, or what it seems to be in a chat program's file."""
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, Mapping) and "role" in first:
        return "a list of chat messages"
    if isinstance(first, Mapping) and "type" in first:
        return "a list of content parts, as chat requests have them"
    return type(value).__name__
