"""Several raters of the same answers: their agreement, and the judge as one more of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval import metrics
from selfj_eval.evaluation.agreement import Drawing
from selfj_eval.evaluation.columns import Columns
from selfj_eval.evaluation.rater_result import JudgeAsRater, RaterAgreement, RaterPair, RaterRow
from selfj_eval.judging.scales import scale_of
from selfj_eval.metrics import (
    Alpha,
    AlternativeAnnotatorTest,
    Ceiling,
    Kappa,
    Metric,
    ReplacedRater,
)
from selfj_eval.metrics.alternative_annotator import EPSILONS, Scoring
from selfj_eval.metrics.pair_order import Counts
from selfj_eval.metrics.rater_agreement import mean_metric, pairs_of_raters
from selfj_eval.metrics.resampled_raters import ResampledRaters
from selfj_eval.metrics.result import Array
from selfj_eval.prompts.labels import MAX_SCORE, MIN_SCORE
from selfj_eval.records.ratings import rescaled

MOST_RATERS = 50
"""Every two raters make a pair: of more raters, those with the most ratings are compared."""


class RaterColumns(NamedTuple):
    """The ratings of each rater.

    Attributes:
        names: Shape (k,), in natural order.
        ratings: Shape (n, k), of the answers of ``Columns`` and on the scale of their ratings; NaN
            where there is none. Of several by one rater the mean.
        left_out: How many raters there are beyond ``MOST_RATERS``.
    """

    names: list[str]
    ratings: Array
    left_out: int

    @classmethod
    def of(cls, data: Columns) -> RaterColumns | None:
        """From rated answers; None where none says who rated it."""
        given: dict[str, dict[int, list[float]]] = {}
        for row, answer in enumerate(data.answers):
            for one in answer.raters or ():
                value = one.rating
                if data.rescales:
                    value = rescaled(value, answer.rating_min, answer.rating_max)
                given.setdefault(one.rater, {}).setdefault(row, []).append(value)
        if not given:
            return None
        most = sorted(given, key=lambda name: (-len(given[name]), _natural(name)))[:MOST_RATERS]
        names = sorted(most, key=_natural)
        ratings = np.full((len(data.answers), len(names)), np.nan)
        for column, name in enumerate(names):
            for row, values in given[name].items():
                ratings[row, column] = math.fsum(values) / len(values)
        return cls(names, ratings, len(given) - len(names))

    def warnings(self) -> list[str]:
        """What a reader of the agreement has to know, as sentences."""
        found = []
        if len(self.names) == 1:
            found.append(
                f"all ratings are by one rater ({self.names[0]}): agreement between raters cannot "
                "be measured"
            )
        if self.left_out:
            found.append(
                f"there are {self.left_out + MOST_RATERS} raters: agreement is that of the "
                f"{MOST_RATERS} with the most ratings"
            )
        return found


def _natural(name: str) -> list[Any]:
    """A key that puts rater 2 before rater 10."""
    return [int(part) if k % 2 else part for k, part in enumerate(re.split(r"([0-9]+)", name))]


def rater_agreement(
    data: Columns, raters: RaterColumns | None, run: Mapping[str, Any], drawing: Drawing
) -> RaterAgreement | None:
    """How the raters agree; None with fewer than two.

    Args:
        data: The rated answers.
        raters: Their ratings by rater.
        run: How the scores were made.
        drawing: How intervals are bootstrapped.
    """
    if raters is None or len(raters.names) < 2:
        return None
    names, ratings = raters.names, raters.ratings
    pairs = pairs_of_raters(ratings)
    apart = "no two raters have two answers in common"
    group = data.group
    ceilings = metrics.noise_ceiling(
        ratings, data.score, group=group, confidence=drawing.confidence
    )
    several = np.isfinite(ratings).sum(axis=1) > 1
    means = (mean_metric([getattr(k, n) for k in pairs.values()], apart) for n in Kappa._fields)
    kappa, alpha = _with_intervals(
        Kappa(*means),
        metrics.krippendorff_alpha(ratings),
        ratings[several],  # the others say nothing, but would be drawn
        None if group is None else group[several],
        drawing,
    )
    return RaterAgreement(
        answers=int(several.sum()),
        instructions=0 if group is None else len(np.unique(group[several])),
        raters=[
            RaterRow(
                name,
                int(np.isfinite(ratings[:, k]).sum()),
                float(np.nanmean(ratings[:, k])),
                ceilings[k],
            )
            for k, name in enumerate(names)
        ],
        pairs=[RaterPair(names[i], names[j], found) for (i, j), found in pairs.items()],
        kappa=kappa,
        alpha=alpha,
        icc=metrics.intraclass_correlation(ratings, confidence=drawing.confidence),
        ceiling=Ceiling(*(mean_metric(found, apart) for found in zip(*ceilings, strict=True))),
        judge=JudgeAsRater(
            _tested(data, ratings, run, "accuracy", 1 - drawing.confidence),
            _tested(data, ratings, run, "rmse", 1 - drawing.confidence),
        ),
    )


def _with_intervals(
    kappa: Kappa,
    alpha: Alpha,
    ratings: Array,
    group: npt.NDArray[np.int64] | None,
    drawing: Drawing,
) -> tuple[Kappa, Alpha]:
    """The mean kappas and the alphas with bootstrap intervals, all of the same draws."""
    if alpha.interval.value is None:
        return kappa, alpha
    raters = ResampledRaters(ratings)

    def statistic(drawn: Counts) -> Array:
        kappas = raters.kappas(drawn)
        defined = np.isfinite(kappas)
        with np.errstate(invalid="ignore"):  # where no pair has a kappa
            means = np.where(defined, kappas, 0.0).sum(axis=0) / defined.sum(axis=0)
        return np.concatenate([means, raters.alphas(drawn)])

    found = drawing.intervals(statistic, len(ratings), group=group)
    k, a = (
        [m._replace(interval=i) if m.value is not None else m for m, i in zip(own, of, strict=True)]
        for own, of in ((kappa, found[:3]), (alpha, found[3:]))
    )
    return Kappa(*k), Alpha(*a)


def _tested(
    data: Columns, ratings: Array, run: Mapping[str, Any], scoring: Scoring, error: float
) -> AlternativeAnnotatorTest:
    score, reason = _on_scale_of_ratings(data, run)
    known = ratings[np.isfinite(ratings)]
    if reason is None and scoring == "accuracy" and (known != np.rint(known)).any():
        reason = "not all ratings are whole numbers, so that they are seldom equal"
    if reason is not None:
        nothing = Metric(None, 0, reason)
        epsilons = [f"{e:g}" for e in EPSILONS]
        untested = ReplacedRater(0, nothing, dict.fromkeys(epsilons))
        return AlternativeAnnotatorTest(
            (untested,) * ratings.shape[1], nothing, dict.fromkeys(epsilons, nothing)
        )
    return metrics.alternative_annotator_test(
        ratings, score, scoring, group=data.group, error=error
    )


def _on_scale_of_ratings(data: Columns, run: Mapping[str, Any]) -> tuple[Array, str | None]:
    """The scores on the scale of the ratings, or why they cannot be put on it."""
    if not data.scaled:
        return data.score, "the scale of the ratings is not known, so no score can be put on it"
    judge = run.get("judge")
    if not isinstance(judge, Mapping):  # scores of 1 to 5 lie in 0 to 9, too
        missing = "there is no run file beside them that names their judge"
        return data.score, f"the scale of the scores is not known: {missing}"
    low, high = scale_of(judge)
    if math.isinf(low):
        return data.score, "the scores have no scale, so none can be put on that of the ratings"
    if len(data.score) and (data.score.min() < low or data.score.max() > high):
        ends = f"{data.score.min():g} to {data.score.max():g}"
        return data.score, f"scores from {ends} are not on {low:g}..{high:g}"
    first, last = (MIN_SCORE, MAX_SCORE)
    if not data.rescales:
        ((given_low, given_high),) = data.scales
        first, last = float(given_low or 0), float(given_high or 0)
    return first + (last - first) * (data.score - low) / (high - low), None
