"""Which answers a page shows, and in which order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import DataError
from selfj_eval.workbench.answer_columns import SCORED, UNSCORED, AnswerColumns

SORTS = ("file", "score", "rating", "disagreement", "gap", "length")
STATES = ("all", "scored", "unscored", "rated", "unrated")
_TEXTS = frozenset({"q", "sort", "order", "model", "category", "show"})
_WHOLE = frozenset({"judge", "start"})
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Query:
    """What the query of a page's address says.

    Attributes:
        q: Words and quoted phrases that an answer must contain.
        judge: Number of the judge whose scores are meant, from 0.
        show: One of ``STATES``.
        model, category: Only answers with this one; empty for all.
        score_from, score_to, rating_from, rating_to: Ends of a range, both included, or None.
        disagreement_from, gap_from: The least disagreement with the rating, or between judges.
        sort: One of ``SORTS``; ``file`` is the order of the files.
        order: ``up`` or ``down``. Answers without the number come last.
        start: How many answers are skipped.
    """

    q: str = ""
    judge: int = 0
    show: str = "all"
    model: str = ""
    category: str = ""
    score_from: float | None = None
    score_to: float | None = None
    rating_from: float | None = None
    rating_to: float | None = None
    disagreement_from: float | None = None
    gap_from: float | None = None
    sort: str = "file"
    order: str = "up"
    start: int = 0

    @classmethod
    def of(cls, values: Mapping[str, str], columns: AnswerColumns) -> Query:
        """The query that an address says; names that are not known are skipped.

        Args:
            values: Name to text.
            columns: The answers.

        Raises:
            DataError: Naming the value that makes no sense.
        """
        found = {f.name: _value(f.name, values[f.name]) for f in fields(cls) if values.get(f.name)}
        query = cls(**found)  # type: ignore[arg-type]
        for name, choices in (("sort", SORTS), ("show", STATES), ("order", ("up", "down"))):
            if getattr(query, name) not in choices:
                raise DataError(f"expected one of {', '.join(choices)}.", field=name)
        if not 0 <= query.judge < len(columns.judges):
            message = f"there are {len(columns.judges)} judges, numbered from 0."
            raise DataError(message, field="judge")
        if query.start < 0:
            raise DataError("expected 0 or more.", field="start")
        return query


def _value(name: str, text: str) -> str | int | float:
    if name in _TEXTS:
        return text
    try:
        number = int(text) if name in _WHOLE else float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= 2**62:  # NaN, too
        raise DataError(f"expected a number, got {text!r:.40}.", field=name)
    return number


def numbers_of(
    query: Query, columns: AnswerColumns, found: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int64]:
    """Numbers of the answers that a query asks for, in its order; ``start`` is not applied.

    Args:
        query: The query.
        columns: The answers.
        found: Numbers of the answers that contain what ``q`` says; None for all.
    """
    mask = _mask(query, columns)
    kept = np.flatnonzero(mask) if found is None else found[mask[found]]
    if query.sort == "file":
        return kept if query.order == "up" else kept[::-1]
    values = _sorted_by(query, columns)[kept].astype(float)
    if query.order == "down":
        values = -values
    return kept[np.argsort(values, kind="stable")]  # NaN comes last


def _mask(query: Query, columns: AnswerColumns) -> Mask:
    judge = columns.judges[query.judge]
    mask = np.ones(len(columns), bool)
    rated = ~np.isnan(columns.rating)
    if query.show != "all":
        mask &= {
            "scored": judge.state == SCORED,
            "unscored": judge.state == UNSCORED,
            "rated": rated,
            "unrated": ~rated,
        }[query.show]
    for name, codes, names in (
        (query.model, columns.model, columns.models),
        (query.category, columns.category, columns.categories),
    ):
        if name:
            mask &= codes == names.index(name) if name in names else False
    for values, low, high in (
        (judge.score, query.score_from, query.score_to),
        (columns.rating, query.rating_from, query.rating_to),
        (judge.disagreement, query.disagreement_from, None),
        (columns.gap, query.gap_from, None),
    ):
        if low is not None:
            mask &= values >= low  # NaN is never
        if high is not None:
            mask &= values <= high
    return mask


def _sorted_by(query: Query, columns: AnswerColumns) -> npt.NDArray[np.generic]:
    judge = columns.judges[query.judge]
    if query.sort == "score":
        return judge.score
    if query.sort == "rating":
        return columns.rating
    if query.sort == "disagreement":
        return judge.disagreement
    return columns.gap if query.sort == "gap" else columns.length
