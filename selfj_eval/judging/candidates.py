"""Best of n: several candidates for each instruction, a judge's scores, the best one kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selfj_eval.errors import DataError, printable
from selfj_eval.jobs.arguments import Numbers, is_missing, items, numbers
from selfj_eval.records.formats import Row
from selfj_eval.records.inputs import records_of, rows_of
from selfj_eval.records.notices import Notices
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.ratings import rescaled
from selfj_eval.records.reading import iter_rows, read_records, read_rows, refuse_repeated_ids
from selfj_eval.records.record import (
    RECORD_FIELDS,
    Record,
    checked_fields,
    is_number,
    record_from_mapping,
)

if TYPE_CHECKING:
    from selfj_eval.records.inputs import InMemory


def expected_best(scores: Numbers, n: int, values: Numbers | None = None) -> float:
    """The expected value of the candidate that scores highest among n drawn without replacement.

    The mean over all C(N, n) subsets of n of the N candidates, in closed form:

        sum over the distinct scores s of  mean(values where score = s)
            * [C(#(score <= s), n) - C(#(score < s), n)] / C(N, n)

    Candidates that tie for the highest score in a subset count evenly. This is the unbiased
    estimator (a U-statistic) of best-of-n for n <= N when the candidates are drawn independently,
    with far less variance than picking from a single sample of n. The same combinatorial idea
    as pass@k (Chen et al. 2021, arXiv 2107.03374, section 2.1).

    Args:
        scores: Shape (N,), N >= 1, finite: what the candidate is chosen by.
        n: How many candidates are drawn, in 1..N.
        values: Shape (N,), finite: what the chosen candidate is worth. By default its score; then
            the result is the expected maximum.

    Returns:
        A number between the lowest and the highest value. The mean of the values for n = 1.

    Raises:
        ValueError: If a shape is wrong, a number is not finite, or n is out of range.
    """
    s = numbers(scores, "scores")
    v = s if values is None else numbers(values, "values")
    if s.ndim != 1 or not s.size:
        raise ValueError(f"scores must have shape (N,) with N >= 1, got {s.shape}")
    if v.shape != s.shape:
        raise ValueError(f"values must have the shape of scores, {s.shape}, got {v.shape}")
    if not (np.isfinite(s).all() and np.isfinite(v).all()):
        raise ValueError("scores and values must be finite; leave unscored candidates out")
    if not 1 <= n <= s.size:
        raise ValueError(f"n must be in 1..{s.size}, the number of candidates, got {n}")
    distinct, tied, sizes = np.unique(s, return_inverse=True, return_counts=True)
    means = distinct if values is None else np.bincount(tied, weights=v) / sizes
    at_or_below = np.cumsum(sizes)
    weight = np.add.reduceat(_rank_weights(s.size, n), at_or_below - sizes)
    return float(np.clip(weight @ means, v.min(), v.max()))  # the last digit may round beyond


def _rank_weights(size: int, n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Probability of each rank, lowest first, to be the highest of n drawn from ``size``.

    For rank c it is C(c-1, n-1) / C(size, n) = F(c) n / c with F(c) = C(c, n) / C(size, n).
    F is a product of ratios in 0..1 from the top down: no huge number, no difference of
    close ones. The ties' difference of binomials is the sum of these over the tied ranks.
    """
    rank = np.arange(1, size + 1, dtype=np.float64)
    ratios = np.clip((rank - n) / rank, 0, None)[:0:-1]  # F(c - 1) / F(c) for c = size..2
    below = np.concatenate(([1.0], np.cumprod(ratios)))[::-1]
    return below * n / rank


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates for one instruction, in the order of the file.

    Attributes:
        instruction: The whole question, as ``Record.question`` gives it.
        records: The candidates.
        scores: A score for each; None where it is unscored.
    """

    instruction: str
    records: Sequence[Record]
    scores: Sequence[float | None]

    @property
    def scored(self) -> list[tuple[Record, float]]:
        """The candidates that have a score."""
        pairs = zip(self.records, self.scores, strict=True)
        return [(record, score) for record, score in pairs if score is not None]

    def best(self, n: int) -> tuple[Record, float] | None:
        """The first of the highest score among the first n; None when none of them is scored."""
        first = Candidates(self.instruction, self.records[:n], self.scores[:n]).scored
        return max(first, key=lambda pair: pair[1], default=None)


@dataclass(frozen=True, slots=True)
class Point:
    """What the best of n is expected to be.

    Attributes:
        n: The best of how many.
        instructions: How many the means are over.
        score, rating, characters: Means of the chosen answer's score, rating and length; None
            where undefined.
        score_se, rating_se, characters_se: Their standard errors over instructions.
    """

    n: int
    instructions: int
    score: float | None
    score_se: float | None
    rating: float | None
    rating_se: float | None
    characters: float | None
    characters_se: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """What best-of-n is expected to give, for growing n.

    Attributes:
        points: One for each n.
        cut: Why the curve ends before the n that was asked for; None when it does not.
    """

    points: list[Point]
    cut: str | None


def group(records: Iterable[Record], scores: Iterable[float | None]) -> list[Candidates]:
    """The records by their whole question, in order of first appearance.

    Args:
        records: The candidates.
        scores: One per candidate; None or NaN where it is unscored.

    Raises:
        TypeError, ValueError: If these are no records or scores, or do not match.
    """
    records, found = items(records, Record, "group()"), numbers(scores, "scores")
    if found.shape != (len(records),):
        raise ValueError(f"scores must have shape ({len(records)},), got {found.shape}")
    values = [None if math.isnan(score) else score for score in found.tolist()]
    rows: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        rows.setdefault(record.question, []).append(index)
    return [
        Candidates(text, [records[i] for i in at], [values[i] for i in at])
        for text, at in rows.items()
    ]


def choose_n(records: Iterable[Record], n: int | None) -> int:
    """The n to pick from: as asked for, or the smallest number of candidates of an instruction.

    Raises:
        DataError: If n is below 1, an instruction has fewer candidates, or there are none at all.
        TypeError: If ``records`` is not an iterable of ``Record``.
    """
    counts = Counter(record.question for record in items(records, Record, "choose_n()"))
    if not counts:
        raise DataError("there are no candidates to choose from.")
    text, fewest = min(counts.items(), key=lambda item: item[1])
    if n is None:
        return fewest
    if n < 1:
        raise DataError(f"`n` must be at least 1, got {n}.")
    if n > fewest:
        raise DataError(
            f"`n` {n}: the instruction {brief_text(text)} has only {fewest} candidates; add more "
            f"for it, leave it out, or give `n` {fewest} at most."
        )
    return n


def curve(candidates: Iterable[Candidates], n: int) -> Curve:
    """Expected score, rating and length of the best of 1, 2, 4, ... and n candidates.

    Every point is the mean over the same instructions, those with any scored candidate, so the
    curve ends at the smallest number of scored candidates that one of them has. Ratings
    are on 0..9, or as given when no scale is known; they are left out unless all scored
    candidates have one, with or all without a scale.
    """
    given = items(candidates, Candidates, "curve()")
    pools = [(c.instruction, c.scored) for c in given if c.scored]
    if not pools:
        return Curve([], "no candidate has a score")
    short, smallest = min(((text, len(pool)) for text, pool in pools), key=lambda item: item[1])
    last = min(n, smallest)
    cut = None
    if last < n:
        cut = (
            f"the curve ends at n = {last} instead of {n}: the instruction {brief_text(short)} has "
            f"{last} scored candidates, and without it larger n would be over other instructions"
        )
    rated = rating_scale([record for _, pool in pools for record, _ in pool]) is not None
    points = []
    for size in sorted({*(2**k for k in range(last.bit_length())), last}):
        means: list[float | None] = []
        for name in ("score", "rating", "characters"):
            found = [] if name == "rating" and not rated else _expected(pools, size, name)
            error = float(np.std(found, ddof=1)) / len(found) ** 0.5 if len(found) > 1 else None
            means += [float(np.mean(found)) if found else None, error]
        points.append(Point(size, len(pools), *means))
    return Curve(points, cut)


def rating_scale(records: Iterable[Record]) -> str | None:
    """What the curve's ratings are on, for people; None when they cannot be averaged."""
    records = items(records, Record, "rating_scale()")
    if any(record.rating is None for record in records):
        return None
    known = {None not in (record.rating_min, record.rating_max) for record in records}
    if len(known) != 1:
        return None
    return "0 to 9" if known.pop() else "as given"


def _expected(
    pools: Sequence[tuple[str, Sequence[tuple[Record, float]]]], n: int, name: str
) -> list[float]:
    def value(record: Record, score: float) -> float:
        if name == "characters":
            return len(record.response)
        if name == "rating" and record.rating is not None:
            return rescaled(record.rating, record.rating_min, record.rating_max)
        return score

    return [expected_best([s for _, s in pool], n, [value(*c) for c in pool]) for _, pool in pools]


def read_candidates(
    given: str | Path | InMemory, *, notices: Notices | None = None
) -> list[Record]:
    """Read several answers to each instruction.

    Args:
        given: What ``read_records`` reads, several records with the same instruction, or such
            rows in memory; or rows whose ``output`` or ``response`` is a list of texts: the
            answers of the row ``3`` get the ids ``3-0``, ``3-1``, ... Without ids a row's place
            counts, from 0.
        notices: Receives what was recognised, converted or ignored.

    Raises:
        DataError: If the file cannot be read, or any row is not valid.
    """
    recognised = Notices()
    path = given if isinstance(given, str | Path) else None
    if path is None:
        rows = list(rows_of(given))
    else:
        rows = list(iter_rows(path, fields=_READ, notices=recognised))
    field = next((f for f in ("response", "output") if any(f in row for _, row in rows)), None)
    if field is None or not any(isinstance(row.get(field), list) for _, row in rows):
        if path is None:
            return records_of([row for _, row in rows], notices=notices)
        return read_records(path, notices=notices)
    if notices is not None:
        for sentence in recognised.sentences():
            notices.say(sentence)
    shown = None if path is None else printable(path)
    expanded = [
        answer
        for number, (place, row) in enumerate(rows)
        for answer in _expanded(row, field, number, shown, place)
    ]
    records = [
        record_from_mapping(row, path=shown, place=place, notices=notices)
        for place, row in expanded
    ]
    if notices is not None:
        notices.ignore(name for _, row in rows for name in row if name not in _READ)
    places = [place for place, _ in expanded]
    refuse_repeated_ids(
        [(r.id, p) for r, p in zip(records, places, strict=True)],
        path=None if path is None else Path(path),
    )
    return records


def read_scored_candidates(
    given: str | Path | InMemory, *, notices: Notices | None = None
) -> tuple[list[Record], list[float | None], list[str]]:
    """Candidates that a judge has scored already.

    Args:
        given: A file of candidates, or rows in memory, which have a ``score``; null or empty is
            unscored.
        notices: As for ``read_candidates``.

    Returns:
        The records, their scores, and why the unscored ones have none, in the order of the file.

    Raises:
        DataError: As ``read_candidates``; also if no row has a score, or it is not a number.
    """
    path = given if isinstance(given, str | Path) else None
    if path is None:
        rows = list(rows_of(given))
        records = read_candidates([row for _, row in rows], notices=notices)
    else:
        records = read_candidates(path, notices=notices)
        rows = read_rows(path, fields=("score", "error"))
    if notices is not None:
        for name in ("score", "error"):
            notices.ignored.pop(name, None)
    if len(rows) != len(records) or not any("score" in row for _, row in rows):
        have = ", ".join(map(str, rows[0][1]))
        message = f"no score for each answer; the first row has: {have}. Give `judge`."
        raise DataError(message, path=path, field="score")
    scores, errors = [], []
    for record, (place, row) in zip(records, rows, strict=True):
        number = {"score": row.get("score")}
        found = checked_fields(
            number,
            required=(),
            numbers=("score",),
            path=None if path is None else printable(path),
            place=place,
        )
        scores.append(found.get("score") if record.error is None else None)
        if scores[-1] is None:
            why = record.error or row.get("error") or "no score in the file"
            errors.append(f"{record.id}: {why}")
    return records, scores, errors


def _expanded(
    row: Mapping[str, Any], field: str, number: int, path: str | None, place: str
) -> list[Row]:
    """One row for each answer of a row that may have several, with the names of a record."""
    name = row.get("id", number)
    others = {own: row[theirs] for own, theirs in _THEIR_NAMES.items() if theirs in row}
    base = {**others, **row, "id": name}
    answers = row.get(field)
    if not isinstance(answers, list):
        return [(place, base | ({"response": answers} if field in row else {}))]

    def fail(message: str, at: str = field) -> DataError:
        return DataError(message, path=path, place=place, field=at)

    if not answers:
        raise fail("is an empty list; give at least one answer, or leave the row out.")
    for alone in ("rating", "score"):
        if row.get(alone) is not None:
            message = f"one for {len(answers)} answers; give each answer a row of its own."
            raise fail(message, alone)
    found: list[Row] = []
    for k, answer in enumerate(answers):
        if not isinstance(answer, str) and not is_missing(answer) and not is_number(answer):
            raise fail(f"answer {k} is {type(answer).__name__}, expected text.")
        own = f"{name}-{k}" if isinstance(name, str | int) else name
        found.append((f"{place}, answer {k}", base | {"id": own, "response": answer}))
    return found


_THEIR_NAMES = {"model": "generator", "category": "dataset"}  # AlpacaEval's
_READ = frozenset(
    {*RECORD_FIELDS, *QUESTION_FIELDS, *_THEIR_NAMES.values(), "output", "score", "error"}
)


def brief_text(text: str, limit: int = 60) -> str:
    """A text of the data in quotes, on one line, shortened."""
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")
