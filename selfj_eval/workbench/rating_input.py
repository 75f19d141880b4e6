"""The answers that are to be rated: those of a plan in its order, others in random order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from selfj_eval.errors import DataError, counted
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.hub import local_file
from selfj_eval.records.inputs import records_of, rows_of
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.ratings import rating_in
from selfj_eval.records.reading import iter_rows, read_records
from selfj_eval.records.record import Record
from selfj_eval.records.texts import reason_not_text
from selfj_eval.workbench.rating_file import ToRate

if TYPE_CHECKING:
    from selfj_eval.records.inputs import Answers

MOST_VALUES = 1001
_USUAL_SCALE = (0.0, 9.0)


class Input(NamedTuple):
    """What there is to rate.

    Attributes:
        answers: In the order in which they are rated.
        scale: Lowest and highest rating.
        planned: Whether they are those of a plan.
        notes: What a reader should know, as sentences.
    """

    answers: Sequence[ToRate]
    scale: tuple[float, float]
    planned: bool
    notes: Sequence[str]


def read_input(answers: Answers, options: ReadOptions, seed: int) -> Input:
    """Read what is to be rated.

    Args:
        answers: A file, or answers in memory. Where they have ``inclusion``, they are a plan.
        options: How the file is read; the scale, where it is not that of the file or 0 to 9.
        seed: Of the order of answers that are no plan.

    Raises:
        DataError: If they cannot be read, only some have ``inclusion``, they have several scales,
            or the scale's ends are no whole numbers.
    """
    given: Any = list(answers) if isinstance(answers, Iterator) else answers
    notices = Notices()
    if isinstance(given, str | Path):
        path = Path(local_file(given))
        how = {n: getattr(options, n) for n in ("encoding", "scale", "missing_rating", "layout")}
        records = read_records(
            path, names=options.fields, notices=notices, turns=options.turns, **how
        )
        rows = iter_rows(path, fields=("id", "inclusion"), options=options)
    else:
        path = None
        records = records_of(given, options=options, notices=notices)
        rows = rows_of(given)
    chances = {str(row.get("id")): _chance(row, path, place) for place, row in rows}
    inclusion = [chances.get(record.id) for record in records]
    planned = any(chance is not None for chance in inclusion)
    if planned and None in inclusion:
        missing = records[inclusion.index(None)].id
        message = f"{missing!r} has none, and others have one; give the file of one plan."
        raise DataError(message, path=path, field="inclusion")
    scale = _scale(records, options, planned, path)
    found = [_to_rate(r, c, planned) for r, c in zip(records, inclusion, strict=True)]
    whole = [one for one, r in zip(found, records, strict=True) if reason_not_text(r) is None]
    if not any(one.rating is None for one in whole):
        raise DataError("holds no answer without a rating: nothing to rate.", path=path)
    notes = _notes(notices, len(found) - len(whole), planned, records)
    if not planned:
        order = np.random.default_rng(seed).permutation(len(whole))
        whole = [whole[k] for k in order]
    return Input(whole, scale, planned, notes)


def _chance(row: Mapping[str, Any], path: Path | None, place: str) -> float | None:
    value = row.get("inclusion")
    if is_missing(value) or value == "":
        return None
    chance = rating_in(value)
    if chance is None or not 0 < chance <= 1:
        message = f"is {value!r:.40}; expected a probability above 0, at most 1."
        raise DataError(message, path=path, place=place, field="inclusion")
    return chance


def _to_rate(record: Record, inclusion: float | None, planned: bool) -> ToRate:
    rating = record.rating if planned else None
    return ToRate(record.id, record.question, record.response, record.reference, inclusion, rating)


def _scale(
    records: Sequence[Record], options: ReadOptions, planned: bool, path: Path | None
) -> tuple[float, float]:
    """Lowest and highest rating: as the user says, else as the file says, else 0 and 9."""
    ends = {
        (r.rating_min, r.rating_max)
        for r in records
        if r.rating_min is not None and r.rating_max is not None
    }
    if planned and options.scale is not None and ends - {options.scale}:
        low, high = next(iter(ends - {options.scale}))
        message = f"`scale` is not that of the plan, {low:g} to {high:g}; leave it out."
        raise DataError(message, path=path)
    if options.scale is None and len(ends) > 1:
        raise DataError("the ratings have several scales; give one as `scale`.", path=path)
    low, high = options.scale or next(iter(ends), _USUAL_SCALE)
    if low % 1 or high % 1 or high - low >= MOST_VALUES:
        message = (
            f"the scale is {low:g} to {high:g}; people can rate from one whole number to another "
            f"with at most {MOST_VALUES:,} values: give such a `scale`."
        )
        raise DataError(message, path=path)
    return low, high


def _notes(notices: Notices, left_out: int, planned: bool, records: Sequence[Record]) -> list[str]:
    notices.ignored = {}  # scores, models and the like, which nobody is to see
    notes = notices.sentences()
    if left_out:
        notes.append(f"{counted(left_out, 'answer')} skipped: no text that can be read")
    rated = sum(r.rating is not None for r in records)
    if rated and planned:
        notes.append(f"{counted(rated, 'answer')} of the plan's pilot rated already")
    elif rated:
        notes.append("the ratings in the file are neither shown nor used")
    return notes
