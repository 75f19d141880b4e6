"""Scored answers of which a part is rated, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import DataError, counted, some
from selfj_eval.evaluation.columns import UNKNOWN_SCALE, Columns
from selfj_eval.judging.scored import Scored, Scores, groups
from selfj_eval.metrics.result import Array


@dataclass(frozen=True)
class PartlyRated:
    """The scored answers, by id, as arrays of shape (n,).

    Attributes:
        answers: The answers themselves.
        score: As given.
        rating: On ``scale``; NaN where an answer is not rated.
        good: 1 for a good answer, 0 for a bad one, NaN where it is not rated.
        group: Number of the instruction; None when texts are missing.
        inclusion: Probability with which an answer was chosen for rating, NaN where that of an
            unrated answer is unknown; None where they are not given.
        scale: Ends of the ratings' scale, 0 and 9 where they had several; None where it is unknown.
        no_share: Why the share of good answers is undefined, or None.
        unscored: Number of answers without a score, which are not among them.
        warnings: What a reader should know, as sentences.
    """

    answers: Sequence[Scored]
    score: Array
    rating: Array
    good: Array
    group: npt.NDArray[np.int64] | None
    inclusion: Array | None
    scale: tuple[float, float] | None
    no_share: str | None
    unscored: int
    warnings: Sequence[str]

    @classmethod
    def of(cls, scores: Scores, good_at: float, models: Sequence[str] | None = None) -> PartlyRated:
        """From a file of scores and ratings; of some answering models, if they are named.

        Raises:
            DataError: If no answer has both score and rating, some ratings have an inclusion
                probability and others do not, one is not in (0, 1], a model is not there, or
                ``good_at`` lies outside the ratings' scale.
        """
        chosen = [a for a in scores.answers if models is None or a.model in models]
        check_models(scores, models)
        answers = sorted((a for a in chosen if a.score is not None), key=lambda a: a.id)
        rated = [a for a in answers if a.rating is not None]
        if not rated:
            message = "no answer has both a score and a rating; give ratings as `ratings`."
            raise DataError(message, path=scores.path, field="rating")
        warnings = list(scores.warnings)
        if lost := sum(a.rating is not None and a.score is None for a in chosen):
            rated_answers = counted(lost, "rated answer")
            warnings.append(f"{rated_answers} without a score cannot be used")
        columns = Columns.of(rated, good_at)
        no_share = None
        if columns.scaled:
            columns.check_good_at(good_at, scores.path)
        else:
            no_share = columns.all_on_one_side(good_at)
            if no_share is None:
                warnings.append(UNKNOWN_SCALE)
        rating, scale = _ratings(answers, warnings)
        quality = np.array([np.nan if a.quality is None else a.quality for a in answers])
        group = groups(answers)
        if group is None:
            warnings.append(
                "some answers have no instruction: answers are treated as independent, and "
                "intervals are too narrow if there are several per instruction"
            )
        return cls(
            answers,
            np.array([a.score for a in answers], dtype=float),
            rating,
            np.where(np.isnan(quality), np.nan, quality >= good_at),
            group,
            _inclusion(rated, answers, scores.ratings or scores.path),
            scale,
            no_share,
            len(chosen) - len(answers),
            warnings,
        )

    @property
    def rated(self) -> npt.NDArray[np.bool_]:
        """Shape (n,). Whether an answer is rated."""
        found: npt.NDArray[np.bool_] = ~np.isnan(self.rating)
        return found

    @property
    def unit(self) -> npt.NDArray[np.int64]:
        """Shape (n,). The group, or a number for each answer where that is unknown."""
        return np.arange(len(self.score)) if self.group is None else self.group

    @property
    def instructions(self) -> tuple[int, int] | None:
        """How many there are, and how many of them have a rated answer; None if unknown."""
        if self.group is None:
            return None
        return len(np.unique(self.group)), len(np.unique(self.group[self.rated]))

    def part(self, kept: npt.NDArray[np.bool_]) -> PartlyRated:
        """Some of the answers."""
        return replace(
            self,
            answers=[a for a, k in zip(self.answers, kept, strict=True) if k],
            score=self.score[kept],
            rating=self.rating[kept],
            good=self.good[kept],
            group=None if self.group is None else self.group[kept],
            inclusion=None if self.inclusion is None else self.inclusion[kept],
        )


def check_models(scores: Scores, models: Sequence[str] | None) -> None:
    """Refuse the name of a model by which there is no scored answer.

    Raises:
        DataError: If there is one.
    """
    known = {a.model for a in scores.answers if a.score is not None}
    for name in models or ():
        if name not in known:
            have = some(sorted({str(a.model) for a in scores.answers}), 10)
            message = f"no scored answer is by {name!r}; the models are: {have}."
            raise DataError(message, path=scores.path, field="model")


def _ratings(
    answers: Sequence[Scored], warnings: list[str]
) -> tuple[Array, tuple[float, float] | None]:
    """The ratings and their scale."""
    ends = {(a.rating_min, a.rating_max) for a in answers if a.rating is not None}
    scales = [(low, high) for low, high in ends if low is not None and high is not None]
    if len(scales) == len(ends) > 1:
        warnings.append(f"the ratings have {len(ends)} different scales and are put on 0 to 9")
        values, scale = [a.quality for a in answers], (0.0, 9.0)
        return np.array([np.nan if v is None else v for v in values]), scale
    if len(ends) > 1:
        warnings.append("the ratings have different scales, some unknown, and are used unchanged")
    given = np.array([np.nan if a.rating is None else a.rating for a in answers], dtype=float)
    return given, scales[0] if len(scales) == len(ends) == 1 else None


def _inclusion(rated: Sequence[Scored], answers: Sequence[Scored], path: str) -> Array | None:
    missing = [a.id for a in rated if a.inclusion is None]
    if len(missing) == len(rated):
        return None
    if missing:
        raise DataError(
            f"{len(missing)} of {len(rated)} ratings have no inclusion probability (the first is "
            f"of {missing[0]!r}), and the others have one: give only ratings that were planned "
            "together.",
            path=path,
            field="inclusion",
        )
    for a in rated:
        if a.inclusion is not None and not 0 < a.inclusion <= 1:
            message = f"of {a.id!r} is {a.inclusion:g}; expected a probability above 0, at most 1."
            raise DataError(message, path=path, field="inclusion")
    return np.array([np.nan if a.inclusion is None else a.inclusion for a in answers])
