"""What an evaluation says of several raters of the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfj_eval.metrics import (
    Alpha,
    AlternativeAnnotatorTest,
    Ceiling,
    IntraclassCorrelation,
    Kappa,
)


@dataclass(frozen=True, slots=True)
class RaterRow:
    """One rater.

    Attributes:
        rater: What the rater is called.
        n: Answers rated.
        mean_rating: Of these, on the scale of the agreement.
        ceiling: Agreement with the mean of the other raters, and the judge's with the same mean.
    """

    rater: str
    n: int
    mean_rating: float
    ceiling: Ceiling


@dataclass(frozen=True, slots=True)
class RaterPair:
    """Two raters, by name, with at least two answers in common."""

    first: str
    second: str
    kappa: Kappa


@dataclass(frozen=True, slots=True)
class JudgeAsRater:
    """The alternative annotator test of the judge, with two ways of scoring agreement.

    Attributes:
        accuracy: By equal ratings, the score rounded; undefined where ratings are no whole numbers.
        rmse: By the distance of the ratings.
    """

    accuracy: AlternativeAnnotatorTest
    rmse: AlternativeAnnotatorTest


@dataclass(frozen=True, slots=True)
class RaterAgreement:
    """How several raters of the same answers agree, and the judge with them.

    Attributes:
        answers: Answers with a score and two ratings at least.
        instructions: How many instructions these answer; 0 where texts are missing.
        raters: Each, by name.
        pairs: Every two raters.
        kappa: Mean over the pairs.
        alpha: Krippendorff's; that of the interval scale has a bootstrap interval.
        icc: On the answers that every rater has rated.
        ceiling: Means over the raters.
        judge: The judge as one more rater.
    """

    answers: int
    instructions: int
    raters: Sequence[RaterRow]
    pairs: Sequence[RaterPair]
    kappa: Kappa
    alpha: Alpha
    icc: IntraclassCorrelation
    ceiling: Ceiling
    judge: JudgeAsRater
