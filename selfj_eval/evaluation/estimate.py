"""The verb `estimate`: what many scores and few ratings say about all answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import DataError, counted
from selfj_eval.evaluation.binary import binary, warnings_on_correction
from selfj_eval.evaluation.columns import Columns, equal_chances
from selfj_eval.evaluation.estimation import Estimate, Estimation
from selfj_eval.evaluation.likeness import left_out, likeness_of, unlikely
from selfj_eval.evaluation.options import RatingOptions
from selfj_eval.evaluation.partly_rated import PartlyRated
from selfj_eval.evaluation.predictors import PREDICTORS, Distributions, predicted
from selfj_eval.evaluation.result import Binary
from selfj_eval.jobs.options import keywords, option
from selfj_eval.judging.distributions import distributions_of
from selfj_eval.judging.scales import scale_of
from selfj_eval.judging.scored import Scores, as_scores
from selfj_eval.metrics.prediction_powered import (
    FEWEST_LABELS,
    Powered,
    powered_difference,
    powered_mean,
    powered_share,
)
from selfj_eval.metrics.result import FEWEST_UNITS, Array
from selfj_eval.prompts.labels import MAX_SCORE, MIN_SCORE

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike

_HELPS = 1.05


@dataclass(frozen=True, kw_only=True)
class EstimateOptions(RatingOptions):
    """What is estimated, and how."""

    models: tuple[str, ...] | None = option(
        None,
        "the names of two answering models, separated by a comma: estimate the difference of their "
        "mean ratings and the first one's win rate, on the instructions that both answered",
        placeholder="NAMES",
    )
    predictors: str = option(
        "auto",
        "what predicts the ratings: the score alone, or all columns (score, the judge's "
        "distribution, answer length, model, category) by cross-fitted regression; auto uses all "
        "if there are at least 100 ratings and they predict better",
        PREDICTORS,
    )

    def check(self) -> None:
        """Refuse anything but two models."""
        super().check()
        if self.models is not None and not len(self.models) == len(set(self.models)) == 2:
            raise DataError("`models` takes the names of two different answering models.")


@dataclass(frozen=True)
class _Job:
    """What all estimates of one call share."""

    data: PartlyRated
    prediction: Array
    options: EstimateOptions
    judged: bool

    @property
    def given(self) -> dict[str, Any]:
        """Arguments of every estimate over answers."""
        data = self.data
        return {
            "group": data.group, "inclusion": data.inclusion, "confidence": self.options.confidence
        }  # fmt: skip

    def part(self, kept: npt.NDArray[np.bool_]) -> _Job:
        return replace(self, data=self.data.part(kept), prediction=self.prediction[kept])


def estimate_answers(scores: ScoresLike, options: EstimateOptions) -> Estimation:
    """Estimate mean rating, share of good answers, difference and win rate of two models.

    Prediction-powered inference (PPI++, arXiv 2311.01453): the ratings of a part of the answers
    correct the scores of all, and the interval is valid whether the judge is good or not. Intervals
    are clustered by instruction and are about new instructions like these.

    Args:
        scores: Scored answers, as for ``evaluate``. Ratings of a part of them are in it or in
            ``ratings``; labels that ``plan`` chose come with ``inclusion``, the probability with
            which each was chosen. Without it, the rated answers must be a random part.

    Raises:
        DataError: If they cannot be read, no answer has both score and rating, some ratings have an
            inclusion probability and others do not, or a model is not there.
    """
    # An iterator can be read only once, and the distributions are read a second time.
    given: Any = list(scores) if isinstance(scores, Iterator) else scores
    own = as_scores(given, scale=options)
    read = own
    if options.ratings is not None:
        read = as_scores(own, ratings=options.ratings, scale=options)
    data = PartlyRated.of(read, options.good_at, options.models)

    unread: list[str] = []

    def distributions() -> Distributions:
        try:
            found = distributions_of(given, own, options)
        except DataError as error:
            if options.predictors != "auto":
                raise
            unread.append(f"the judge's distributions are not used to predict ratings: {error}")
            return {}
        return {a.id: d for a, d in zip(own.answers, found, strict=True)}

    prediction, predictors = predicted(data, options.predictors, distributions)
    job = _Job(data, prediction, options, _is_judge(read))
    alone = np.empty(0, dtype=bool)
    if options.models is None:
        estimates, by_model = [_mean(job), _good(job)], _by_model(job)
    else:
        shared = _shared(data, options.models)
        alone, job = data.rated[~shared], job.part(shared)
        data = job.data
        estimates, by_model = _of_models(job, options.models), {}
    verdicts, doubts = (None, []) if data.no_share else _verdicts(read, options)
    likeness = likeness_of(data.answers, read.chosen)
    warnings = [
        *data.warnings,
        *([_skipped(alone)] if len(alone) else []),
        *left_out(data.answers, read.chosen),
        *_warnings(data, estimates[0]),
        *unlikely(likeness, "`selfj plan` chooses answers to rate"),
        *doubts,
        *unread,
    ]
    instructions = data.instructions
    return Estimation(
        judge=read.name,
        models=options.models,
        answers=len(data.score),
        unscored=data.unscored,
        labels=int(data.rated.sum()),
        instructions=None if instructions is None else instructions[0],
        labelled_instructions=None if instructions is None else instructions[1],
        scale=data.scale,
        good_at=options.good_at,
        confidence=options.confidence,
        predictors=predictors,
        estimates=estimates,
        by_model=by_model,
        binary=verdicts,
        likeness=likeness,
        warnings=warnings,
    )


estimate = keywords(estimate_answers, EstimateOptions)


def _mean(job: _Job) -> Estimate:
    data = job.data
    both = [powered_mean(data.rating, job.prediction, tuning=t, **job.given) for t in (None, 0.0)]
    scores_only = None
    if job.judged and data.scale is not None:
        low, high = data.scale
        scores_only = low + (high - low) * float(data.score.mean()) / 9
    return Estimate("mean rating", both[0], both[1], scores_only)


def _good(job: _Job) -> Estimate:
    data, options = job.data, job.options
    if data.no_share is not None:
        rated, groups = data.rated, data.unit[data.rated]
        labels = int(rated.sum())
        missing = Powered(
            None, None, None, labels, len(np.unique(groups)), 0.0, None, data.no_share
        )
        return Estimate("share good", missing, missing)
    both = [powered_share(data.good, job.prediction, tuning=t, **job.given) for t in (None, 0.0)]
    scores_only = None
    if job.judged and data.scale is not None:
        scores_only = float((data.score >= options.good_at).mean())
    return Estimate("share good", both[0], both[1], scores_only)


def _verdicts(scores: Scores, options: EstimateOptions) -> tuple[Binary | None, list[str]]:
    """The judge's verdicts, by which the share of good answers is corrected, and doubts about it.

    None of two models, and none where answers had different chances of being rated: the errors on
    the rated ones are then not those on the others.
    """
    if options.models is not None or not equal_chances(scores.rated):
        return None, []
    columns = Columns.of(scores.rated, options.good_at)
    found = binary(scores, columns, None, options.confidence)
    return found, warnings_on_correction(found, columns)


def _by_model(job: _Job) -> dict[str, Estimate]:
    """Of the models with ten ratings or more; none where there is one model alone."""
    models = np.array([a.model or "" for a in job.data.answers])
    names = sorted(set(models) - {""})
    if len(names) < 2:
        return {}
    rated = {name: int((job.data.rated & (models == name)).sum()) for name in names}
    return {n: _mean(job.part(models == n)) for n in names if rated[n] >= FEWEST_LABELS}


def _shared(data: PartlyRated, models: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Shape (n,). The answers of two models to the instructions that both answered."""
    if data.group is None:
        message = "two models can be compared only where every answer has its instruction."
        raise DataError(message, field="instruction")
    first = np.array([a.model == models[0] for a in data.answers])
    shared = np.isin(data.group, np.intersect1d(data.group[first], data.group[~first]))
    if not shared.any():
        raise DataError("the two models answered no instruction in common.", field="instruction")
    return shared


def _skipped(rated: npt.NDArray[np.bool_]) -> str:
    """That answers, rated or not, are not among those that the estimates are about."""
    of_them = f" ({int(rated.sum()):,} of them rated)" if rated.any() else ""
    return (
        f"{counted(len(rated), 'answer')} skipped{of_them}: there is none to the same instruction "
        "by the other model"
    )


def _of_models(job: _Job, models: Sequence[str]) -> list[Estimate]:
    """Difference and win rate of two models, of their answers to the same instructions."""
    data = job.data
    first = np.array([a.model == models[0] for a in data.answers])
    both = [
        powered_difference(data.rating, job.prediction, first, tuning=tuning, **job.given)
        for tuning in (None, 0.0)
    ]
    scores_only = None
    if job.judged and data.scale is not None:
        width = (data.scale[1] - data.scale[0]) / 9
        scores_only = width * float(data.score[first].mean() - data.score[~first].mean())
    return [Estimate("difference", both[0], both[1], scores_only), _win_rate(job, first)]


def _win_rate(job: _Job, first: npt.NDArray[np.bool_]) -> Estimate:
    """Of instructions whose two answers are both rated; a tie is half a win."""
    data = job.data
    numbers = np.unique(data.unit)
    columns = [
        [_of_unit(values, data.unit, numbers, side) for side in (first, ~first)]
        for values in (data.rating, data.score)
    ]
    won, verdict = ((np.sign(a - b) + 1) / 2 for a, b in columns)
    both_rated = ~np.isnan(won)
    pairs = int(both_rated.sum())
    inclusion = None
    if data.inclusion is not None:
        sides = [_of_unit(data.inclusion, data.unit, numbers, side) for side in (first, ~first)]
        inclusion = sides[0]
        if not np.allclose(sides[0][both_rated], sides[1][both_rated]):
            undefined = Powered(
                None, None, None, pairs, pairs, 0.0, None,
                "the two answers to an instruction were chosen with different probabilities",
            )  # fmt: skip
            return Estimate("win rate", undefined, undefined, float(verdict.mean()))
    both = [
        powered_share(
            won, verdict, inclusion=inclusion, tuning=t, confidence=job.options.confidence
        )
        for t in (None, 0.0)
    ]
    if pairs < FEWEST_LABELS:
        both = [found._replace(undefined=_too_few_pairs(pairs)) for found in both]
    return Estimate("win rate", both[0], both[1], float(verdict.mean()))


def _too_few_pairs(pairs: int) -> str:
    if not pairs:
        return "no instruction has ratings for both models' answers"
    have, more = "has" if pairs == 1 else "have", FEWEST_LABELS - pairs
    return (
        f"only {counted(pairs, 'instruction')} {have} ratings for both models' answers; an "
        f"interval takes at least {FEWEST_LABELS}: {more} more {'is' if more == 1 else 'are'} "
        "needed"
    )


def _of_unit(
    values: Array, unit: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64],
    side: npt.NDArray[np.bool_],
) -> Array:  # fmt: skip
    """Mean of a model's known values per instruction; NaN where there is none."""
    known = side & ~np.isnan(values)
    place = np.searchsorted(numbers, unit[known])
    count = np.bincount(place, minlength=len(numbers)).astype(float)
    count[count == 0] = np.nan
    found: Array = np.bincount(place, weights=values[known], minlength=len(numbers)) / count
    return found


def _warnings(data: PartlyRated, first: Estimate) -> list[str]:
    """What speaks against the estimates."""
    found = []
    labels = int(data.rated.sum())
    if np.ptp(data.score) == 0:
        found.append(f"all scores are {data.score[0]:g}: the scores are not informative")
    elif first.gain is not None and first.gain < _HELPS and labels < len(data.score):
        found.append("the scores add nothing to the ratings")
    if FEWEST_LABELS <= labels < FEWEST_UNITS:
        found.append(f"only {labels} ratings: intervals are rough")
    return found


def _is_judge(scores: Scores) -> bool:
    """Whether the scores are a judge's, on 0 to 9, by the run file."""
    judge = scores.run.get("judge")
    return isinstance(judge, Mapping) and scale_of(judge) == (MIN_SCORE, MAX_SCORE)
