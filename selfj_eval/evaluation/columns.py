"""Rated answers as arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import DataError
from selfj_eval.judging.scored import Scored, groups
from selfj_eval.metrics.result import Array

UNKNOWN_SCALE = (
    "the scale of the ratings is not known (rating_min, rating_max, or `scale`): `good_at` is "
    "compared with the ratings unchanged"
)


@dataclass(frozen=True)
class Columns:
    """The answers that have a score and a rating, by id, as arrays of shape (n,).

    Attributes:
        answers: The answers themselves.
        score: As given.
        rating: As given, or on 0..9 when the answers have several scales and all are known.
        quality: The rating on 0..9, or as given where its scale is unknown.
        scales: The ends of the ratings' scales, without repetition; (None, None) is an unknown one.
        good: Whether the answer is good.
        group: Number of the instruction; None when texts are missing.
        length: Characters of the answer; None when texts are missing.
    """

    answers: Sequence[Scored]
    score: Array
    rating: Array
    quality: Array
    scales: frozenset[tuple[float | None, float | None]]
    good: npt.NDArray[np.bool_]
    group: npt.NDArray[np.int64] | None
    length: Array | None

    @classmethod
    def of(cls, answers: Sequence[Scored], good_at: float) -> Columns:
        """From answers that all have a score and a rating."""
        answers = sorted(answers, key=lambda a: a.id)  # nothing depends on the file's order
        quality = np.array([a.quality for a in answers], dtype=float)
        scales = frozenset(
            (None, None) if None in ends else ends
            for ends in ((a.rating_min, a.rating_max) for a in answers)
        )
        rating = np.array([a.rating for a in answers], dtype=float)
        lengths = [len(a.response) for a in answers if a.response is not None]
        return cls(
            answers,
            np.array([a.score for a in answers], dtype=float),
            quality if len(scales) > 1 and (None, None) not in scales else rating,
            quality,
            scales,
            quality >= good_at,
            groups(answers),
            np.array(lengths, dtype=float) if len(lengths) == len(answers) else None,
        )

    @property
    def rescales(self) -> bool:
        """Whether ratings are put on 0..9, as they have several known scales."""
        return len(self.scales) > 1 and self.scaled

    @property
    def scaled(self) -> bool:
        """Whether there are answers and the scale of every rating is known."""
        return bool(self.scales) and (None, None) not in self.scales

    def check_good_at(self, good_at: float, path: str) -> None:
        """Refuse a threshold that no rating can be on both sides of.

        Args:
            good_at: As for ``of``.
            path: Where the answers are from, for the error.

        Raises:
            DataError: If it lies outside the ratings' scale, or where that is not known outside
                the ratings.
        """
        reason = self.all_on_one_side(good_at)
        if reason is not None:
            raise DataError(f"{reason}.", path=path, field="rating")

    def all_on_one_side(self, good_at: float) -> str | None:
        """Why ratings cannot be on both sides of a threshold, without a full stop; None if they
        can."""
        if not self.answers:
            return None
        low, high = (0.0, 9.0) if self.scaled else (self.quality.min(), self.quality.max())
        if low <= good_at <= high:
            return None
        if self.scaled:
            return (
                f"`good_at` is {good_at:g}; ratings are rescaled to 0 to 9, so give a value in "
                "that range"
            )
        bad = "no answer" if good_at > high else "every answer"
        return (
            f"`good_at` is {good_at:g}, but the ratings go from {low:g} to {high:g}: {bad} "
            "would be good. Give their scale as `scale` (lowest and highest), or "
            "another `good_at`"
        )


def equal_chances(answers: Sequence[Scored]) -> bool:
    """Whether rated answers were chosen with the same probability, but for rounding, or none is
    known."""
    return unequal_chances(answers) is None


def unequal_chances(answers: Sequence[Scored]) -> str | None:
    """How the probabilities differ with which rated answers were chosen, as the end of a sentence
    on ``inclusion``; None if they are equal or none is known."""
    known = [a.inclusion for a in answers if a.inclusion is not None]
    if not known:
        return None
    if len(known) < len(answers):
        return f"{len(answers) - len(known)} of {len(answers)} rated answers have none"
    if math.isclose(min(known), max(known), rel_tol=1e-9):
        return None
    return f"is {min(known):.3g} to {max(known):.3g} for the rated answers"


def note_on_chances(answers: Sequence[Scored], instead: str = "") -> list[str]:
    """A note where rated answers were not chosen with equal probabilities.

    Args:
        answers: The rated answers.
        instead: What to do for numbers about all answers.
    """
    if equal_chances(answers):
        return []
    return [
        "the rated answers were not chosen with equal probabilities (`inclusion`): the numbers "
        f"here are about the rated answers{instead}"
    ]
