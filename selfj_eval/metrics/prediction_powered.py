"""Means and shares of ratings from many predictions and few ratings (PPI++, arXiv 2311.01453)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import counted
from selfj_eval.jobs.arguments import Numbers, codes, numbers, truths
from selfj_eval.metrics.proportions import quantile, wilson
from selfj_eval.metrics.result import Array, Interval

FEWEST_LABELS = 10
FEWEST_GROUPS = 3
"""With fewer labels, or labels in fewer groups, no interval is given."""


class Powered(NamedTuple):
    """An estimate from ratings and predictions.

    Attributes:
        value: The estimate; None where it is undefined.
        interval: Its confidence interval; None with fewer than ten labels or three labelled groups,
            and of a mean or a difference where the ratings do not vary.
        standard_error: Of the value, with what few groups add to it.
        labels: Number of rated answers.
        groups: Number of groups with a rated answer.
        tuning: Weight of the predictions: 0 ignores them. Of a difference, in its first part.
        effective_labels: So many ratings alone would give as small a standard error.
        undefined: Why there is no value or no interval.
    """

    value: float | None
    interval: Interval | None
    standard_error: float | None
    labels: int
    groups: int
    tuning: float
    effective_labels: float | None
    undefined: str | None = None


class _Sample(NamedTuple):
    """Checked input; ``weight`` is 1 / inclusion over its mean, 0 where there is no rating."""

    rating: Array
    prediction: Array
    weight: Array
    group: npt.NDArray[np.int64]


class _Estimate(NamedTuple):
    """A value, what each answer adds to it, shape (n,), and the weight of the predictions."""

    value: float
    influence: Array
    tuning: float


def powered_mean(
    rating: Numbers,
    prediction: Numbers,
    *,
    group: Numbers | None = None,
    inclusion: Numbers | None = None,
    tuning: float | None = None,
    confidence: float = 0.95,
) -> Powered:
    """The mean rating of all answers, of which some are rated.

    The estimate is ``tuning * mean(prediction) + mean(rating - tuning * prediction)``, where the
    second mean is over the rated answers, weighted by 1 / inclusion (Hajek). Its variance is that
    of the influence values, summed within groups, so it is right for whole groups, for groups of
    which a part is rated, and for labels that were chosen with known probabilities. The interval
    has the quantile of Student's t with g - 2 degrees of freedom, and the variance has the factor
    g / (g - 2), where g is the number of groups with a rated answer.

    Args:
        rating: Shape (n,); NaN where an answer is not rated.
        prediction: Shape (n,), finite, on any scale.
        group: Shape (n,). Answers that belong together, such as those to one instruction. Default:
            each answer by itself.
        inclusion: Shape (n,), in (0, 1]: the probability with which an answer was chosen for
            rating. Only those of rated answers count. Default: the same for all.
        tuning: Weight of the predictions. Default: covariance of rating and prediction over the
            variance of the prediction, which has the smallest variance for independent answers that
            were chosen with equal probabilities.
        confidence: Level of the interval, in (0, 1).

    Raises:
        ValueError: If the arrays do not match, a prediction is not finite, or an inclusion
            probability of a rated answer lies outside (0, 1].
    """
    sample = _checked(rating, prediction, group, inclusion)
    found = _without_variation(_estimated(sample, tuning), [sample])
    return _with_students_interval(found, found.groups, confidence)


def powered_share(
    good: Numbers,
    prediction: Numbers,
    *,
    group: Numbers | None = None,
    inclusion: Numbers | None = None,
    tuning: float | None = None,
    confidence: float = 0.95,
) -> Powered:
    """The share of good answers among all answers, of which some are rated.

    As ``powered_mean``, with Wilson's interval at the number of labels that would give the same
    standard error, p (1 - p) / error^2, with p at least 1 / g and at most 1 - 1 / g, and the
    quantile of Student's t. Where all rated values are equal, predictions add nothing: the value is
    theirs, its standard error is 0, and that number is the number of labelled groups, g.

    Args:
        good: Shape (n,); 1 for good, 0 for bad, between them for half of a win; NaN where an
            answer is not rated.
        prediction, group, inclusion, tuning, confidence: As for ``powered_mean``.

    Raises:
        ValueError: As ``powered_mean``, and if a value lies outside [0, 1].
    """
    sample = _checked(good, prediction, group, inclusion)
    rated = sample.rating[sample.weight > 0]
    if len(rated) and (rated.min() < 0 or rated.max() > 1):
        raise ValueError(f"expected values from 0 to 1, got {rated.min():g} to {rated.max():g}")
    equal = len(rated) > 0 and np.ptp(rated) == 0
    found = _estimated(sample, 0.0 if equal else tuning)
    if equal:  # rounding makes an error of about 1e-17, which would be worth 1e31 labels
        none = None if found.standard_error is None else 0.0
        found = found._replace(value=float(rated[0]), standard_error=none, effective_labels=None)
    error, groups = found.standard_error, found.groups
    if found.value is None or error is None:
        return found
    value = min(max(found.value, 0.0), 1.0)
    inner = min(max(value, 1 / groups), 1 - 1 / groups)  # near an end p (1 - p) vanishes
    size = inner * (1 - inner) / error**2 if error > 0 else float(groups)
    interval = wilson(value, size, confidence, degrees=groups - 2)
    return found._replace(value=value, interval=interval)


def powered_difference(
    rating: Numbers,
    prediction: Numbers,
    first: Numbers,
    *,
    group: Numbers | None = None,
    inclusion: Numbers | None = None,
    tuning: float | None = None,
    confidence: float = 0.95,
) -> Powered:
    """The mean rating of one part of the answers minus that of the others.

    Each part has an estimate of its own, as in ``powered_mean``. The variance is that of the
    difference of both influence values, summed within groups: what the two answers to an
    instruction have in common cancels.

    Args:
        rating, prediction, group, inclusion, tuning, confidence: As for ``powered_mean``.
        first: Shape (n,), true for the answers of the first part.

    Raises:
        ValueError: As ``powered_mean``, and if one of the parts is empty.
    """
    sample = _checked(rating, prediction, group, inclusion)
    part = truths(first, "first").astype(bool)
    if part.shape != sample.rating.shape or part.all() or not part.any():
        raise ValueError("expected `first` of shape (n,), true for some answers and not for all")
    sides = [_Sample(*(column[side] for column in sample)) for side in (part, ~part)]
    counts = [_counts(side) for side in sides]
    if not all(labels for labels, _ in counts):
        undefined = "no answer of one of the two models is rated"
        return Powered(None, None, None, *_counts(sample), 0.0, None, undefined)
    # As many degrees of freedom as the side with fewer ratings has.
    fewest_labels, fewest = (min(column) for column in zip(*counts, strict=True))
    estimate, alone = (_difference(sides, part, weight) for weight in (tuning, 0.0))
    found = _powered(estimate, alone, sample, fewest_labels, fewest, of=" of one of the two models")
    found = _without_variation(found, sides)
    return _with_students_interval(found, fewest, confidence)


def _difference(
    sides: Sequence[_Sample], part: npt.NDArray[np.bool_], tuning: float | None
) -> _Estimate:
    """First mean minus second, with the first's tuning."""
    influence = np.zeros(len(part))
    value, weights = 0.0, []
    for own, side, sign in zip(sides, (part, ~part), (1.0, -1.0), strict=True):
        own = own._replace(weight=own.weight / own.weight.mean())
        mean, of_side, weight = _influence(own, tuning)
        value += sign * mean
        influence[side] = sign * of_side * (len(part) / side.sum())
        weights.append(weight)
    return _Estimate(value, influence, weights[0])


def expected_half_width(
    labels: int,
    *,
    deviation: float,
    correlation: float,
    scored: float,
    rated: float = 1.0,
    groups: float | None = None,
    confidence: float = 0.95,
) -> float:
    """Half of the expected width of the interval of a mean.

    ``t(g - 2) deviation sqrt((g - 1) / (g - 2) ((1 - r^2) rated / n + r^2 scored))``, where r is
    the correlation: the variance has a part of the rated answers, and one of all scored ones.

    Args:
        labels: n, at least 3.
        deviation: Standard deviation of the ratings.
        correlation: Pearson's r of predictions and ratings.
        scored: Variance of the mean prediction over that of one prediction: 1 / N of N independent
            answers.
        rated: Design effect of the labels: 1 if they are independent, 1 + (m - 1) ICC with m labels
            per group.
        groups: g, expected number of groups with a label, above 2. Default: n.
        confidence: Level of the interval.

    Raises:
        ValueError: With fewer than three labels, or not more than two groups.
    """
    n, g = labels, labels if groups is None else groups
    if n < 3 or g <= 2:
        raise ValueError(f"an interval needs 3 labels and more than 2 groups, got {n} and {g:g}")
    explained = correlation**2
    variance = (1 - explained) * rated / n + explained * scored
    return quantile(confidence, g - 2) * deviation * math.sqrt((g - 1) / (g - 2) * variance)


def _checked(
    rating: Numbers, prediction: Numbers, group: Numbers | None, inclusion: Numbers | None
) -> _Sample:
    y, f = numbers(rating, "rating"), numbers(prediction, "prediction")
    if y.ndim != 1 or y.shape != f.shape:
        raise ValueError(f"expected two arrays of shape (n,), got {y.shape} and {f.shape}")
    if not np.isfinite(f).all():
        raise ValueError("a prediction is NaN or infinite; skip unscored answers, and count them")
    rated = ~np.isnan(y)
    if not np.isfinite(y[rated]).all():
        raise ValueError("a rating is infinite")
    weight = rated.astype(float)
    if inclusion is not None:
        chance = numbers(inclusion, "inclusion")
        if chance.shape != y.shape:
            raise ValueError(f"expected inclusion of shape {y.shape}, got {chance.shape}")
        if not ((chance[rated] > 0) & (chance[rated] <= 1)).all():
            raise ValueError("an inclusion probability of a rated answer is not in (0, 1]")
        weight[rated] /= chance[rated]
    if rated.any():
        weight /= weight.mean()
    unit = np.arange(len(y)) if group is None else codes(group, "group", len(y))
    return _Sample(np.where(rated, y, 0.0), f, weight, unit)


def _counts(sample: _Sample) -> tuple[int, int]:
    """Numbers of labels and of labelled groups."""
    rated = sample.weight > 0
    return int(rated.sum()), len(np.unique(sample.group[rated]))


def _estimated(sample: _Sample, tuning: float | None) -> Powered:
    """The mean, without an interval."""
    labels, groups = _counts(sample)
    if not labels:
        return Powered(None, None, None, labels, groups, 0.0, None, "no answer is rated")
    estimate, alone = (_influence(sample, weight) for weight in (tuning, 0.0))
    return _powered(estimate, alone, sample, labels, groups)


def _powered(
    found: _Estimate, alone: _Estimate, sample: _Sample, labels: int, groups: int, of: str = ""
) -> Powered:
    """An estimate with its error, without an interval.

    Args:
        found: The estimate.
        alone: The same from ratings alone.
        sample: What it is about.
        labels, groups: What decides the degrees of freedom.
        of: Whose labels these are, for the reason why there is no interval.
    """
    rated = _counts(sample)
    if groups < FEWEST_GROUPS or labels < FEWEST_LABELS:
        few = too_few(labels, groups, of)
        return Powered(found.value, None, None, *rated, found.tuning, None, few)
    error, error_alone = (_error(e.influence, sample.group, groups) for e in (found, alone))
    effective = rated[0] * (error_alone / error) ** 2 if error else None
    return Powered(found.value, None, error, *rated, found.tuning, effective)


def too_few(labels: int, groups: int, of: str = "") -> str:
    """Why there is no interval, and how many ratings more are needed.

    Args:
        labels, groups: Numbers of ratings, and of instructions with a rating.
        of: Whose ratings these are.
    """
    are = "is" if labels == 1 else "are"
    more, others = max(0, FEWEST_LABELS - labels), FEWEST_GROUPS - groups
    if others <= 0:
        need = f"{more} more {'is' if more == 1 else 'are'} needed"
    elif more <= others:
        need = f"rate answers to {counted(others, 'more instruction')}"
    else:
        need = f"{more} more are needed, and answers to {counted(others, 'more instruction')}"
    return (
        f"{counted(labels, 'rating')}{of} on {counted(groups, 'instruction')} {are} too few for an "
        f"interval, which takes at least {FEWEST_LABELS} ratings on {FEWEST_GROUPS} instructions: "
        f"{need}"
    )


def _without_variation(found: Powered, samples: Sequence[_Sample]) -> Powered:
    """No standard error where all ratings of each sample are equal: it would be 0."""
    rated = [s.rating[s.weight > 0] for s in samples]
    if found.standard_error is None or any(np.ptp(y) > 0 for y in rated):
        return found
    if np.ptp(np.concatenate(rated)) == 0:
        what = f"all {found.labels:,} ratings are {rated[0][0]:g}"
    else:
        what = "the ratings of each of the two models do not vary"
    undefined = f"{what}, so no interval can be given"
    return found._replace(standard_error=None, effective_labels=None, undefined=undefined)


def _with_students_interval(found: Powered, groups: int, confidence: float) -> Powered:
    if found.value is None or found.standard_error is None:
        return found
    half = quantile(confidence, groups - 2) * found.standard_error
    interval = Interval(found.value - half, found.value + half, confidence, "t, clustered")
    return found._replace(interval=interval)


def _influence(sample: _Sample, tuning: float | None) -> _Estimate:
    y, f, w, _ = sample
    share = w / w.sum()
    if tuning is None:
        tuning = _best_tuning(sample, share)
    rest = y - tuning * f
    mean_rest = float(share @ rest)
    influence = tuning * (f - f.mean()) + w * (rest - mean_rest)
    return _Estimate(tuning * float(f.mean()) + mean_rest, influence, tuning)


def _error(influence: Array, group: npt.NDArray[np.int64], labelled: int) -> float:
    """Standard error of a mean, with the factor g / (g - 2) of few labelled groups."""
    sums = np.bincount(group, weights=influence)
    return math.sqrt(labelled / (labelled - 2) * float(sums @ sums)) / len(influence)


def _best_tuning(sample: _Sample, share: Array) -> float:
    y, f = sample.rating, sample.prediction
    labels = int((share > 0).sum())
    spread = float(f.var(ddof=1)) if len(f) > 1 else 0.0
    if labels < 3 or spread <= 1e-24 * max(1.0, float(np.abs(f).max()) ** 2):
        return 0.0
    apart = (y - share @ y) * (f - share @ f)
    return float(share @ apart) * labels / (labels - 1) / spread
