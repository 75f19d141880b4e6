"""The file of ratings: valid at every moment, and no rating that was confirmed is ever lost.

It begins with a row for each answer, without a rater, in the order in which they are rated. Each
rating is one more row, short, which is on the disk before it is confirmed. A rating that is changed
or taken back makes the file be written anew, under another name, which then takes the place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, StoreError, brief, printable
from selfj_eval.files.atomic import atomic_write, remove_left_over
from selfj_eval.files.documents import parse_json
from selfj_eval.records.rater_rows import RATER

_FOREIGN = "is not what `selfj rate` writes; name another `output`."


@dataclass(frozen=True, slots=True)
class ToRate:
    """An answer, as whoever rates it sees it: neither score nor model.

    Attributes:
        id: As in the file it is from; it may hold a model's name, and is not shown.
        question: What was asked.
        response: The answer.
        reference: A good answer, or None.
        inclusion: Probability with which a plan chose it, or None.
        rating: Of the plan's pilot, whose answers are not rated again, or None.
    """

    id: str
    question: str
    response: str
    reference: str | None = None
    inclusion: float | None = None
    rating: float | None = None

    def row(self, scale: tuple[float, float]) -> dict[str, Any]:
        """Its row in the file.

        Args:
            scale: Lowest and highest rating.
        """
        values = {
            "id": self.id,
            "instruction": self.question,
            "response": self.response,
            "reference": self.reference,
            "rating": _plain(self.rating),
            "rating_min": _plain(scale[0]),
            "rating_max": _plain(scale[1]),
            "inclusion": self.inclusion,
        }
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Given:
    """What a person has said of an answer.

    Attributes:
        id: The answer's.
        rater: Who.
        rating: None where the answer was skipped.
        comment: May be empty.
        at: When, in UTC (ISO 8601).
    """

    id: str
    rater: str
    rating: float | None
    comment: str
    at: str

    def row(self) -> dict[str, Any]:
        """Its row in the file."""
        found = {"id": self.id, RATER: self.rater, "rating": _plain(self.rating)}
        comment = {"comment": self.comment} if self.comment else {}
        return {**found, **comment, "at": self.at}


class RatingFile:
    """A file of ratings that is open; only one process may have it.

    Attributes:
        path: The file.
        answers: In the order in which they are rated.
        scale: Lowest and highest rating.
        given: What was said, by rater and answer, in the order in which it was said first.
    """

    def __init__(
        self,
        path: Path,
        answers: Sequence[ToRate],
        scale: tuple[float, float],
        given: Iterable[Given] = (),
    ) -> None:
        self.path = path
        self.answers = tuple(answers)
        self.scale = scale
        self.given = {(one.rater, one.id): one for one in given}

    def write(self) -> None:
        """Write all of it.

        Raises:
            StoreError: If it cannot be written; then the file is as it was.
        """
        self._write(self.given)

    def put(self, given: Given) -> None:
        """Keep a rating, in place of an earlier one of the same person and answer.

        Raises:
            StoreError: If it cannot be written; then nothing has changed.
        """
        key = (given.rater, given.id)
        if key in self.given:
            self._write({**self.given, key: given})
        else:
            self._append(given)
        self.given[key] = given

    def take_back(self, rater: str, own: str) -> None:
        """Remove a person's rating of an answer.

        Raises:
            StoreError: If the file cannot be written; then nothing has changed.
        """
        kept = {key: one for key, one in self.given.items() if key != (rater, own)}
        self._write(kept)
        self.given = kept

    def _write(self, given: Mapping[tuple[str, str], Given]) -> None:
        with atomic_write(self.path) as stream:
            stream.writelines(_line(answer.row(self.scale)) for answer in self.answers)
            stream.writelines(_line(one.row()) for one in given.values())
        if os.name == "posix":  # the new name is on the disk, too, when the folder is
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _append(self, given: Given) -> None:
        line = _line(given.row())
        try:
            with self.path.open("r+b", buffering=0) as stream:
                end = stream.seek(0, os.SEEK_END)
                try:
                    written = stream.write(line)
                    if written != len(line):  # the disk is full
                        raise OSError(None, "the disk is full")
                    os.fsync(stream.fileno())
                except OSError:
                    stream.truncate(end)
                    raise
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(f"{printable(self.path)} cannot be written: {reason}.") from error


def read_rating_file(path: Path) -> tuple[RatingFile, list[str]]:
    """A file of ratings to go on with, and what was repaired in it, as sentences.

    A last line that was cut off, as by a power failure, was never confirmed: it is removed.

    Raises:
        DataError: If it is something else, naming the line.
        StoreError: If it has to be repaired and cannot be written.
    """
    remove_left_over(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}.", path=path) from error
    rows, notes = _rows_of(content, path)
    answers, given, scales = list[ToRate](), list[Given](), set[tuple[float, float]]()
    for place, row in rows:
        try:
            if RATER in row:
                given.append(_given(row))
            else:
                scales.add((_number(row["rating_min"]), _number(row["rating_max"])))
                answers.append(_answer(row))
        except (KeyError, TypeError) as error:
            raise DataError(_FOREIGN, path=path, place=place) from error
    known = {answer.id for answer in answers}
    if not answers or len(scales) != 1 or len(known) != len(answers):
        raise DataError(_FOREIGN, path=path)
    file = RatingFile(path, answers, scales.pop(), given)
    if len(file.given) != len(given) or any(one.id not in known for one in given):
        message = "holds a rating twice, or of an answer that is not in it; repair it by hand."
        raise DataError(message, path=path)
    if not content.endswith(b"\n"):
        file.write()
    return file, notes


def _rows_of(content: bytes, path: Path) -> tuple[list[tuple[str, Mapping[str, Any]]], list[str]]:
    """The rows with their places, and what was left out."""
    lines = content.splitlines(keepends=True)
    rows, notes = list[tuple[str, Mapping[str, Any]]](), list[str]()
    for number, line in enumerate(lines, 1):
        place = f"line {number}"
        try:
            row = parse_json(line.decode())
            if not isinstance(row, dict):
                raise ValueError("no object")
        except ValueError as error:
            if number == len(lines) and not line.endswith(b"\n"):
                notes.append(f"{place} was cut off, before it was confirmed: removed")
                break
            message = f"is damaged ({brief(error)}); repair it by hand, or name another `output`."
            raise DataError(message, path=path, place=place) from error
        rows.append((place, row))
    return rows, notes


def _given(row: Mapping[str, Any]) -> Given:
    rating = None if row["rating"] is None else _number(row["rating"])
    comment = _text(row.get("comment", ""))
    return Given(_text(row["id"]), _text(row[RATER]), rating, comment, _text(row["at"]))


def _answer(row: Mapping[str, Any]) -> ToRate:
    reference, inclusion, rating = (row.get(n) for n in ("reference", "inclusion", "rating"))
    return ToRate(
        _text(row["id"]),
        _text(row["instruction"]),
        _text(row["response"]),
        None if reference is None else _text(reference),
        None if inclusion is None else _number(inclusion),
        None if rating is None else _number(rating),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _plain(number: float | None) -> float | int | None:
    """A whole number without the point."""
    return number if number is None or number % 1 else int(number)


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
