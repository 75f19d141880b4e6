"""What a plan chooses from, each unit's chance, and the width to expect."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import DataError, counted
from selfj_eval.evaluation.columns import unequal_chances
from selfj_eval.judging.scored import Scored, groups
from selfj_eval.metrics.prediction_powered import FEWEST_LABELS, expected_half_width
from selfj_eval.metrics.result import Array
from selfj_eval.metrics.sampling import Chosen, choose
from selfj_eval.prompts.labels import MAX_SCORE, MIN_SCORE

DESIGNS = ("random", "stratified", "active")
STRATA = 5
UNIFORM = 0.5
"""Part of an active choice that is uniform, so that no answer is all but excluded."""
_AS_MANY = 30
"""The scores' intraclass correlation counts as much as that of the ratings of so many instructions
that have several."""
_QUARTER = 4
"""Without a pilot, the ratings' standard deviation is taken to be a quarter of their scale."""


class Clusters(NamedTuple):
    """How units come in instructions.

    Attributes:
        size: Shape (k,). Units of each instruction.
        icc: Intraclass correlation of the ratings, less what the scores explain.
        scored: Variance of the mean score over that of one score; 1 / u of independent units.
    """

    size: Array
    icc: float
    scored: float


@dataclass(frozen=True)
class Units:
    """What is rated together: an answer, or two models' answers to an instruction.

    Attributes:
        members: The answers of each unit.
        score: Shape (u,). The score, or the difference of the two.
        rating: Shape (u,). The same of the ratings; NaN where one is missing.
        group: Shape (u,). Number of the instruction; None where each unit is one, or unknown.
    """

    members: Sequence[tuple[Scored, ...]]
    score: Array
    rating: Array
    group: npt.NDArray[np.int64] | None

    @classmethod
    def of(cls, answers: Sequence[Scored]) -> Units:
        """Each answer by itself."""
        score = np.array([a.score for a in answers], dtype=float)
        rating = np.array([np.nan if a.rating is None else a.rating for a in answers])
        return cls([(a,) for a in answers], score, rating, groups(answers))

    @classmethod
    def of_models(
        cls, answers: Sequence[Scored], models: Sequence[str], warnings: list[str]
    ) -> Units:
        """Two models' answers to an instruction, of every instruction that both answered.

        Args:
            answers: Scored answers of the two models, by id.
            models: Their names.
            warnings: Gets how many answers are in no unit.

        Raises:
            DataError: If they answered no instruction in common.
        """
        by_model: list[dict[str, Scored]] = [{}, {}]
        again = 0
        for a in answers:
            own = by_model[models.index(a.model or "")]
            if a.question is not None and own.setdefault(a.question, a) is not a:
                again += 1
        shared = sorted(by_model[0].keys() & by_model[1].keys())
        if not shared:
            message = f"{models[0]!r} and {models[1]!r} answered no instruction in common."
            raise DataError(message, field="model")
        if again:
            warnings.append(
                f"{counted(again, 'answer')} skipped: the same model has another answer to the "
                "same instruction, and only the first one by id can be chosen"
            )
        if alone := len(answers) - again - 2 * len(shared):
            warnings.append(
                f"{counted(alone, 'answer')} skipped: there is no scored answer to the same "
                "instruction by the other model"
            )
        pairs = [(by_model[0][q], by_model[1][q]) for q in shared]
        score = np.array([(a.score or 0.0) - (b.score or 0.0) for a, b in pairs])
        rating = np.array(
            [
                np.nan if a.rating is None or b.rating is None else a.rating - b.rating
                for a, b in pairs
            ]
        )
        return cls(pairs, score, rating, None)

    @property
    def rated(self) -> npt.NDArray[np.bool_]:
        """Shape (u,). The pilot."""
        found: npt.NDArray[np.bool_] = ~np.isnan(self.rating)
        return found

    @property
    def scale(self) -> tuple[float, float] | None:
        """Ends of the ratings' scale, of the first answer that has them; None if none has."""
        ends = ((a.rating_min, a.rating_max) for unit in self.members for a in unit)
        return next(((a, b) for a, b in ends if a is not None and b is not None), None)

    @property
    def assumed_deviation(self) -> float:
        """Standard deviation of the ratings, where no pilot says it."""
        low, high = self.scale or (MIN_SCORE, MAX_SCORE)
        return (high - low) / _QUARTER * math.sqrt(len(self.members[0]))

    @cached_property
    def clusters(self) -> Clusters:
        """How the units come in instructions."""
        n = len(self.members)
        unit = np.arange(n) if self.group is None else self.group
        size = np.bincount(unit).astype(float)
        sums = np.bincount(unit, weights=self.score - self.score.mean())
        variance = n * float(self.score.var())
        scored = float(sums @ sums) / n / variance if variance > 0 else 1 / n
        return Clusters(
            size, 0.0 if self.group is None else self._correlation_within(self.group), scored
        )

    def _correlation_within(self, group: npt.NDArray[np.int64]) -> float:
        """ICC of the scores, and of the pilot as far as instructions have several ratings in it.

        Few pairs of ratings say little, and a pilot that is spread over the instructions may have
        none, so the two are averaged.
        """
        rated, scores = self.rated, _icc(self.score, group)
        several = int((np.bincount(group[rated]) > 1).sum())
        if not several:
            return scores
        x, y = self.score[rated], self.rating[rated]
        slope = float(np.cov(x, y)[0, 1] / x.var(ddof=1)) if np.ptp(x) > 0 else 0.0
        own = _icc(y - slope * x, group[rated])
        return (several * own + _AS_MANY * scores) / (several + _AS_MANY)


class Pilot(NamedTuple):
    """What the rated units say of all.

    Attributes:
        deviation: Standard deviation of the ratings.
        correlation: Pearson's r of scores and ratings.
    """

    deviation: float
    correlation: float


def pilot_of(units: Units, warnings: list[str]) -> Pilot | None:
    """What the pilot says; None with fewer than ten rated units, or where nothing varies.

    Args:
        units: What is rated, and what is not.
        warnings: Gets the reason why a pilot says nothing, and which scale is assumed without one.
    """
    rated = units.rated
    x, y = units.score[rated], units.rating[rated]
    if len(y):
        why = _says_nothing(x, y, pairs=len(units.members[0]) > 1)
        if why is None:
            return Pilot(float(y.std(ddof=1)), float(np.corrcoef(x, y)[0, 1]))
        warnings.append(
            f"the pilot does not say what width to expect: {why}. Standard deviation and "
            "correlation are assumed"
        )
    if units.scale is None:
        warnings.append(
            f"the scale of the ratings is not known: {MIN_SCORE:g} to {MAX_SCORE:g} is assumed; "
            "give it as `scale`"
        )
    return None


def _says_nothing(score: Array, rating: Array, *, pairs: bool) -> str | None:
    """Why a pilot's scores and ratings, or differences of pairs, say nothing of all; or None."""
    n = len(rating)
    if n < FEWEST_LABELS:
        has = f"{counted(n, 'rated pair' if pairs else 'rating')} {'is' if n == 1 else 'are'}"
        return f"{has} too few, at least {FEWEST_LABELS} are needed"
    for name, values in (("rating", rating), ("score", score)):
        if np.ptp(values) == 0:
            what = f"differences in {name}" if pairs else f"{name}s"
            return f"all {n} {what} are {values[0]:g}"
    return None


def check_pilot(units: Units, path: str) -> None:
    """Refuse ratings that are no random part.

    Args:
        units: What is rated, and what is not.
        path: Where the ratings are from, for the error.

    Raises:
        DataError: If the rated answers were chosen with different probabilities, or some with an
            unknown one.
    """
    pairs = zip(units.members, units.rated, strict=True)
    what = unequal_chances([a for unit, is_rated in pairs if is_rated for a in unit])
    if what is not None:
        raise DataError(
            f"{what}, but a pilot must be a random part: rate answers that were chosen with the "
            "design `random`, or plan without ratings.",
            path=path,
            field="inclusion",
        )


def expected_width(
    ratings: int, units: Units, deviation: float, correlation: float, confidence: float
) -> float:
    """Of the interval of the mean rating; it gets smaller with every rating.

    The part of the scores in its variance is known. The ratings' part grows by the factor
    1 + (m - 1) ICC, where m is the number of ratings of an instruction, weighted by its size. The
    quantile is that of as many instructions as are expected to have a rating.
    """
    size, icc, scored = units.clusters
    each = ratings * size / size.sum()  # the choice is spread over the instructions
    half = expected_half_width(
        ratings,
        deviation=deviation,
        correlation=correlation,
        scored=scored,
        rated=1 + max(0.0, float(each @ each) / ratings - 1) * icc,
        groups=max(3.0, float(np.minimum(1, each).sum())),
        confidence=confidence,
    )
    return 2 * half


def ratings_for(
    width: float, units: Units, deviation: float, correlation: float, confidence: float
) -> int | None:
    """The smallest number of ratings with an interval no wider than ``width``; None if all are not
    enough."""
    counts = range(FEWEST_LABELS, len(units.members) + 1)
    found = bisect_left(
        counts,
        True,
        key=lambda n: expected_width(n, units, deviation, correlation, confidence) <= width,
    )
    return counts[found] if found < len(counts) else None


def sizes_of(
    design: str, score: Array, uncertainty: Array | None
) -> tuple[Array, npt.NDArray[np.int64] | None]:
    """Sizes and strata for ``metrics.sampling.choose``.

    Args:
        design: ``random``: the same chance for all. ``stratified``: the same chance for all, and
            from each fifth of the scores its part. ``active``: half uniform, half in proportion to
            the uncertainty (arXiv 2403.03208).
        score: Shape (u,).
        uncertainty: Shape (u,), at least 0. Only ``active`` needs it.
    """
    same = np.ones(len(score))
    if design == "stratified":
        rank = np.empty(len(score), dtype=np.int64)
        rank[np.argsort(score, kind="stable")] = np.arange(len(score))
        return same, rank * STRATA // len(score)
    if design == "active" and uncertainty is not None and uncertainty.mean() > 0:
        return UNIFORM + (1 - UNIFORM) * uncertainty / uncertainty.mean(), None
    return same, None


def choose_units(
    units: Units, count: int, design: str, uncertainty: Array | None, seed: int
) -> Chosen:
    """Units to rate besides the pilot.

    A unit of the pilot, which is a random part, was or would have been rated anyway: the chance of
    every unit is that of being in the pilot or in this choice.

    Returns:
        Which ones, and the chance of every unit, shape (u,).
    """
    rated = units.rated
    rest = np.flatnonzero(~rated)
    sizes, stratum = sizes_of(design, units.score, uncertainty)
    group = None if units.group is None else units.group[rest]
    layer = None if stratum is None else stratum[rest]
    sample = choose(count, size=sizes[rest], group=group, stratum=layer, seed=seed)
    before = float(rated.mean())
    # What the choice would have given to a unit of the pilot, had it not been in it.
    now = np.minimum(1.0, sizes * (count / sizes[rest].sum()))
    now[rest] = sample.inclusion
    return Chosen(rest[sample.chosen], before + (1 - before) * now)


def uncertainty_of(
    units: Units, probabilities: Mapping[str, Sequence[float] | None], path: str
) -> Array:
    """Standard deviation of the judge's distribution over its labels, shape (u,).

    Args:
        units: The units; of several answers in one the variances are added.
        probabilities: By id; None where there are none.
        path: The file of scores, for the error.

    Raises:
        DataError: If an answer has none.
    """
    found = np.empty(len(units.members))
    for at, unit in enumerate(units.members):
        variance = 0.0
        for a in unit:
            given = probabilities[a.id]
            if given is None:
                message = (
                    f"{a.id!r} has no probabilities of the digits. The design `active` needs them, "
                    "and a Self-J judge writes them. Choose the design `random` or `stratified`."
                )
                raise DataError(message, path=path, field="probabilities")
            p = np.asarray(given, dtype=float)
            value = np.arange(len(p))
            variance += float(p @ value**2 - (p @ value) ** 2)
        found[at] = math.sqrt(max(0.0, variance))
    return found


def _icc(score: Array, group: npt.NDArray[np.int64]) -> float:
    """Share of the scores' variance that lies between instructions, one-way ANOVA, at least 0."""
    _, unit, size = np.unique(group, return_inverse=True, return_counts=True)
    k, n = len(size), len(score)
    if k < 2 or n == k or np.ptp(score) == 0:
        return 0.0
    means = np.bincount(unit, weights=score) / size
    between = float(size @ (means - score.mean()) ** 2) / (k - 1)
    within = float(((score - means[unit]) ** 2).sum()) / (n - k)
    each = (n - float((size**2).sum()) / n) / (k - 1)
    return max(0.0, (between - within) / (between + (each - 1) * within))
