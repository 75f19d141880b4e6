"""Sums of raters, such as Self-J's self-evaluation + cosine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import DataError
from selfj_eval.jobs.arguments import items, numbers
from selfj_eval.metrics.result import no_spread
from selfj_eval.raters.protocol import Preparable, Progress, Rater
from selfj_eval.records.record import Judgment, Record

SCALES = ("z", "rank")


def combine(
    names: Iterable[str],
    parts: Iterable[Iterable[Judgment]],
    weights: Iterable[float],
    *,
    scale: str = "z",
    fixed: Sequence[tuple[float, float]] | None = None,
) -> list[Judgment]:
    """The weighted sum of several raters' scores of the same records.

    Self-J adds the model's own evaluation and the similarity to the reference (arXiv 2409.00935,
    section 3, z = z1 + z2); how they come on one scale is not published. Here each is brought on
    one over all records that every rater has scored, unless the scales are given.

    Args:
        names: Of the raters, for messages.
        parts: Judgments of each, in the order of the records.
        weights: One a rater, not 0.
        scale: ``z``: minus the mean, divided by the standard deviation. ``rank``: the midrank over
            the number of records.
        fixed: Mean and standard deviation that count for each rater, in place of those of these
            records: then a record's sum does not depend on the others.

    Returns:
        One judgment a record: unscored where any rater has no score, or where one gives all
        records the same.

    Raises:
        DataError: If the scale is unknown.
        TypeError, ValueError: If names, judgments and weights are none, or do not match.
    """
    if scale not in SCALES:
        raise DataError(f"no scale {scale!r}; there are: {', '.join(SCALES)}.")
    names = items(names, str, "combine()")
    judged = [items(part, Judgment, "combine()") for part in parts]
    factors = numbers(weights, "weights").tolist()
    if not len(names) == len(judged) == len(factors):
        raise ValueError(
            f"{len(names)} names, {len(judged)} raters' judgments, {len(factors)} weights; give "
            "one of each per rater"
        )
    rows = list(zip(*judged, strict=True))
    if fixed is not None:
        return _summed(rows, names, factors, [_Scale(None, *own, None) for own in fixed])
    fitted = [
        _Scale.of(n, c, scale) for n, c in zip(names, _columns(rows, len(names)), strict=True)
    ]
    return _summed(rows, names, factors, fitted)


class _Scale(NamedTuple):
    """How one rater's scores come on the common scale.

    Attributes:
        constant: Why they cannot, or None.
        mean, spread: For ``z``.
        ordered: The scores, sorted, for ``rank``; None for ``z``.
    """

    constant: str | None
    mean: float
    spread: float
    ordered: npt.NDArray[np.float64] | None

    @classmethod
    def of(cls, name: str, column: npt.NDArray[np.float64], scale: str) -> _Scale:
        if reason := no_spread(column, "scores"):
            return cls(f"{name} gives no ranking: {reason}.", 0.0, 1.0, None)
        if scale == "z":
            return cls(None, float(column.mean()), float(column.std()), None)
        return cls(None, 0.0, 1.0, np.sort(column))

    def __call__(self, score: float) -> float:
        if self.ordered is None:
            return (score - self.mean) / self.spread
        below, to = (np.searchsorted(self.ordered, score, side) for side in ("left", "right"))
        return float(below + to + 1) / 2 / len(self.ordered)  # the midrank


_Row = tuple[Judgment, ...]


def _columns(rows: Sequence[_Row], n: int) -> list[npt.NDArray[np.float64]]:
    """The scores of each rater, of the records that all have scored."""
    whole = [row for row in rows if all(j.score is not None for j in row)]
    return [np.array([row[k].score for row in whole], float) for k in range(n)]


def _summed(
    rows: Sequence[_Row],
    names: Sequence[str],
    weights: Sequence[float],
    scales: Sequence[_Scale],
) -> list[Judgment]:
    constant = next((scale.constant for scale in scales if scale.constant), None)
    judgments = []
    for row in rows:
        failed = [(n, j.error) for n, j in zip(names, row, strict=True) if j.score is None]
        error = f"{failed[0][0]}: {failed[0][1]}" if failed else constant
        used = any(j.reference_used for j in row)
        trimmed = max(j.trimmed_tokens for j in row)
        score = None
        if error is None:
            terms = zip(weights, scales, row, strict=True)
            score = sum(weight * scale(j.score or 0.0) for weight, scale, j in terms)
        judgments.append(Judgment(row[0].id, score, None, None, error, used, trimmed))
    return judgments


class SumRater:
    """The weighted sum of raters, each brought on one scale over all records: as ``combine``.

    Args:
        parts: Name, weight and rater of each.
        fixed: As for ``combine``.

    Attributes:
        from_store, failed: As for ``Rater``.
    """

    def __init__(
        self,
        parts: Sequence[tuple[str, float, Rater]],
        fixed: Sequence[tuple[float, float]] | None = None,
    ) -> None:
        self._names = [name for name, _, _ in parts]
        self._weights = [weight for _, weight, _ in parts]
        self._raters = [rater for _, _, rater in parts]
        self._fixed = fixed
        self._scales = None if fixed is None else [_Scale(None, *own, None) for own in fixed]
        self.from_store = 0

    @property
    def failed(self) -> int:
        """How many records a part may rate the next time."""
        return max(rater.failed for rater in self._raters)

    @property
    def description(self) -> dict[str, Any]:
        """What decides the scores."""
        parts = [dict(rater.description) for rater in self._raters]
        scale = "z" if self._fixed is None else [list(own) for own in self._fixed]
        return {"sum_of": self._names, "weights": self._weights, "scale": scale, "parts": parts}

    @property
    def fixed(self) -> bool:
        """Whether a record's sum depends on no other record."""
        return self._fixed is not None and not any(
            isinstance(rater, Preparable) for rater in self._raters
        )

    def prepare(
        self,
        windows: Callable[[], Iterable[Sequence[Record]]],
        *,
        progress: Progress | None = None,
    ) -> SumRater:
        """A rater that has rated all records once, for the scale, and may be given any portions.

        Args:
            windows: Gives all records, a list at a time, each time it is called.
            progress: Called as it has rated records.
        """
        if self._scales is not None:
            return self
        other = copy(self)
        other._raters = [
            r.prepare(windows) if isinstance(r, Preparable) else r for r in self._raters
        ]
        shared = _shared(progress, len(other._raters))
        stored = [rater.from_store for rater in other._raters]
        scores: list[list[npt.NDArray[np.float64]]] = [[] for _ in other._raters]
        for window in windows():
            judged = (rater.judge(window, progress=shared) for rater in other._raters)
            rows = list(zip(*judged, strict=True))
            for kept, column in zip(scores, _columns(rows, len(scores)), strict=True):
                kept.append(column)
        columns = [np.concatenate(kept or [np.empty(0)]) for kept in scores]
        pairs = zip(self._names, columns, strict=True)
        other._scales = [_Scale.of(name, column, "z") for name, column in pairs]
        other.from_store += other._known(stored)
        return other

    def _known(self, stored: Sequence[int]) -> int:
        """How many records all parts that keep something had in their stores."""
        pairs = zip(self._raters, stored, strict=True)
        known = [rater.from_store - before for rater, before in pairs if _keeps(rater)]
        return min(known, default=0)

    def judge(
        self, records: Iterable[Record], *, progress: Progress | None = None
    ) -> list[Judgment]:
        """Rate records: over themselves, or as ``prepare`` has found."""
        records = items(records, Record, "judge()")
        stored = [rater.from_store for rater in self._raters]
        shared = _shared(progress, len(self._raters))
        judged = [rater.judge(records, progress=shared) for rater in self._raters]
        if self._scales is None:
            self.from_store += self._known(stored)
            return combine(self._names, judged, self._weights)
        return _summed(list(zip(*judged, strict=True)), self._names, self._weights, self._scales)


def _shared(progress: Progress | None, parts: int) -> Progress | None:
    """Progress of a sum from that of its parts, each of which rates every record."""
    if progress is None:
        return None
    finished = 0

    def tell(n: int) -> None:
        nonlocal finished
        before, finished = finished, finished + n
        progress(finished // parts - before // parts)

    return tell


def _keeps(rater: Rater) -> bool:
    """Whether a rater has a store."""
    return any(getattr(rater, name, None) is not None for name in ("store", "_store", "_answers"))
