"""Agreement between several raters of the same answers, and with it the best a judge can show.

Ratings are an array of shape (n, k): an answer a row, a rater a column, NaN where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from selfj_eval.errors import counted
from selfj_eval.jobs.arguments import Numbers, codes, numbers
from selfj_eval.metrics.correlation import pearson, spearman
from selfj_eval.metrics.resampled_raters import ResampledRaters
from selfj_eval.metrics.result import Array, Interval, Metric, no_spread, paired


class Kappa(NamedTuple):
    """Cohen's kappa with its usual weights of a disagreement, at most 1; 0 is chance.

    Attributes:
        unweighted: Every disagreement counts 1.
        linear: It counts the difference of the two ratings.
        quadratic: It counts the square of the difference.
    """

    unweighted: Metric
    linear: Metric
    quadratic: Metric


def cohen_kappa(first: Numbers, second: Numbers) -> Kappa:
    """Cohen's kappa of two raters (Cohen 1960, 1968): 1 - observed / expected disagreement.

    Expected is the mean disagreement of every rating by one with every rating by the other. The
    weights are differences of the ratings themselves: on a scale of equal steps these are those of
    all its levels, also where some were never given.

    Args:
        first, second: Shape (n,). NaN where there is no rating; only answers with both count.

    Returns:
        Undefined with its reason on fewer than 2 answers, or where both gave the same rating
        throughout.
    """
    a, b = numbers(first, "first"), numbers(second, "second")
    both = np.isfinite(a) & np.isfinite(b)
    a, b = paired(a[both], b[both])
    n, reason = len(a), None
    if n < 2:
        reason = f"only {counted(n, 'answer')} with ratings by both raters; at least 2 are needed"
    elif (a == a[0]).all() and (b == a[0]).all():
        reason = f"both raters gave all {n} answers the same rating ({a[0]:g})"
    if reason is not None:
        return Kappa(*(Metric(None, n, reason) for _ in Kappa._fields))
    (values,) = ResampledRaters(np.column_stack([a, b])).kappas(np.ones(n, dtype=np.int64))
    return Kappa(*(Metric(float(value), n) for value in values))


class Alpha(NamedTuple):
    """Krippendorff's alpha, at most 1; 0 is chance.

    Attributes:
        interval: The square of the difference of two ratings counts.
        ordinal: The square of the difference of their midranks.
        nominal: Every difference counts 1.
    """

    interval: Metric
    ordinal: Metric
    nominal: Metric


def krippendorff_alpha(ratings: Numbers) -> Alpha:
    """Krippendorff's alpha (2011, "Computing Krippendorff's alpha-reliability").

    Every pair of ratings of an answer counts 1 / (its ratings - 1). Ratings may be missing; answers
    with fewer than two say nothing.

    Args:
        ratings: Shape (n, k); NaN where there is none.

    Returns:
        Undefined with its reason without two ratings of an answer, or where all are equal.
    """
    values = _matrix(ratings)
    used = values[np.isfinite(values).sum(axis=1) > 1]
    if reason := _no_alpha(used[np.isfinite(used)]):
        return Alpha(*(Metric(None, len(used), reason) for _ in Alpha._fields))
    found = ResampledRaters(used).alphas(np.ones(len(used), dtype=np.int64))
    return Alpha(*(Metric(float(value), len(used)) for value in found))


def _no_alpha(values: Array) -> str | None:
    if not len(values):
        return "no answer has two ratings"
    if (values == values[0]).all():
        return f"all {len(values)} ratings are equal ({values[0]:g})"
    return None


class IntraclassCorrelation(NamedTuple):
    """Intraclass correlations of answers and raters that are both drawn (Shrout and Fleiss 1979).

    Attributes:
        single: ICC(2,1): of one rater's rating.
        average: ICC(2,k): of the mean of all k raters.
        dropped: Answers left out, as a rating is missing.
    """

    single: Metric
    average: Metric
    dropped: int


def intraclass_correlation(ratings: Numbers, *, confidence: float = 0.95) -> IntraclassCorrelation:
    """ICC(2,1) and ICC(2,k), absolute agreement, on the answers that every rater has rated.

    With the mean squares R of answers, C of raters and E of the rest:
    ``(R - E) / (R + (k - 1) E + k (C - E) / n)`` and ``(R - E) / (R + (C - E) / n)``. The interval
    is that of McGraw and Wong (1996, Psychological Methods 1, table 7); it takes the answers to be
    independent. With two or three raters of hundreds of answers it is too narrow
    (docs/annotators.md).

    Args:
        ratings: Shape (n, k); NaN where there is none.
        confidence: Level of the intervals, in (0, 1).
    """
    values = _matrix(ratings)
    whole = values[np.isfinite(values).all(axis=1)]
    (n, k), dropped = whole.shape, len(values) - len(whole)
    reason = None
    if k < 2:
        reason = f"only {counted(k, 'rater')}; at least 2 are needed"
    elif n < 2:
        reason = f"only {counted(n, 'answer')} that every rater has rated; at least 2 are needed"
    elif np.ptp(whole) == 0:
        reason = f"all {n * k} ratings are equal ({whole[0, 0]:g})"
    if reason is not None:
        missing = Metric(None, n, reason)
        return IntraclassCorrelation(missing, missing, dropped)
    whole = whole - whole.mean()
    of_answers, of_raters = whole.mean(axis=1), whole.mean(axis=0)
    rest = whole - of_answers[:, None] - of_raters
    rows = float(k * (of_answers**2).sum() / (n - 1))
    columns = float(n * (of_raters**2).sum() / (k - 1))
    error = float((rest**2).sum() / ((n - 1) * (k - 1)))
    noise = (k - 1) * error + k * (columns - error) / n
    if rows + noise <= 0 or rows + (columns - error) / n <= 0:
        missing = Metric(None, n, "the answers' mean ratings do not differ enough")
        return IntraclassCorrelation(missing, missing, dropped)
    single = (rows - error) / (rows + noise)
    average = (rows - error) / (rows + (columns - error) / n)
    bounds = _icc_interval(single, (rows, columns, error), n, k, confidence)
    of_mean = None
    if bounds is not None and 1 + (k - 1) * bounds.low > 0:  # Spearman and Brown
        ends = [k * x / (1 + (k - 1) * x) for x in (bounds.low, bounds.high)]
        of_mean = Interval(ends[0], ends[1], confidence, bounds.method)
    return IntraclassCorrelation(
        Metric(single, n, interval=bounds), Metric(average, n, interval=of_mean), dropped
    )


def _icc_interval(
    single: float, squares: tuple[float, float, float], n: int, k: int, confidence: float
) -> Interval | None:
    from scipy.stats import f

    rows, columns, error = squares
    if error <= 1e-12 * (rows + columns) or single >= 1 - 1e-12:
        return None
    a = k * single / (n * (1 - single))
    b = 1 + k * single * (n - 1) / (n * (1 - single))
    parts = (a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    degrees = (a * columns + b * error) ** 2 / parts
    level = (1 + confidence) / 2
    below, above = f.ppf(level, n - 1, degrees), f.ppf(level, degrees, n - 1)
    mixed = k * columns + (k * n - k - n) * error
    low = n * (rows - below * error) / (below * mixed + n * rows)
    high = n * (above * rows - error) / (mixed + n * above * rows)
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return Interval(float(low), float(high), confidence, "mcgraw-wong")


class Ceiling(NamedTuple):
    """How one rater, and the judge, agree with the mean of the other raters.

    On the answers that the rater and at least one other have rated.

    Attributes:
        pearson, spearman: Of the rater with the mean of the others.
        judge_pearson, judge_spearman: Of the judge with the same means.
    """

    pearson: Metric
    spearman: Metric
    judge_pearson: Metric
    judge_spearman: Metric


def noise_ceiling(
    ratings: Numbers, judge: Numbers, *, group: Numbers | None = None, confidence: float = 0.95
) -> tuple[Ceiling, ...]:
    """Each rater, and the judge in that rater's place, against the mean of the other raters.

    A judge whose errors average out may agree with that mean better than a person does.

    Args:
        ratings: Shape (n, k); NaN where there is none.
        judge: Shape (n,), finite, on any scale.
        group: Shape (n,). Answers that belong together, such as those to one instruction. Default:
            each by itself.
        confidence: Level of the correlations' intervals, in (0, 1).

    Returns:
        One a rater, in their order.
    """
    values = _matrix(ratings)
    score = numbers(judge, "judge")
    unit = np.arange(len(values)) if group is None else codes(group, "group", len(values))
    given = np.isfinite(values)
    filled = np.where(given, values, 0)
    found = []
    for k in range(values.shape[1]):
        rows = given[:, k] & (given.sum(axis=1) > 1)
        others = np.delete(filled[rows], k, axis=1).sum(axis=1) / (given[rows].sum(axis=1) - 1)
        both = []
        for x, whose in ((values[rows, k], "the rater's own ratings"), (score[rows], "the scores")):
            reason = _no_correlation(x, others, whose)
            for f in (pearson, spearman):
                metric = f(x, others, group=unit[rows], confidence=confidence)
                both.append(metric._replace(undefined=reason if metric.value is None else None))
        found.append(Ceiling(*both))
    return tuple(found)


def _no_correlation(own: Array, others: Array, whose: str) -> str | None:
    """Why values cannot be correlated with the mean of the other raters, or None."""
    if len(own) < 2:
        return f"only {counted(len(own), 'answer')} with ratings by others; at least 2 are needed"
    if no_spread(others, "means"):
        return "the mean ratings of the other raters are all equal"
    return f"{whose} are all equal" if no_spread(own, "values") else None


def pairs_of_raters(ratings: Numbers) -> dict[tuple[int, int], Kappa]:
    """Cohen's kappa of every two raters, by their columns, who have two answers in common.

    Args:
        ratings: Shape (n, k); NaN where there is none.
    """
    values = _matrix(ratings)
    found = {}
    for i, j in combinations(range(values.shape[1]), 2):
        both = np.isfinite(values[:, i]) & np.isfinite(values[:, j])
        if both.sum() >= 2:
            found[i, j] = cohen_kappa(values[both, i], values[both, j])
    return found


def mean_metric(found: Sequence[Metric], nothing: str) -> Metric:
    """The plain mean of those that are defined; ``n`` is how many.

    Args:
        found: Metrics.
        nothing: Why there is no mean where there is none to take it of.
    """
    values = [m.value for m in found if m.value is not None]
    if not values:
        reasons = dict.fromkeys(m.undefined for m in found if m.undefined)
        return Metric(None, 0, next(iter(reasons), nothing))
    return Metric(math.fsum(values) / len(values), len(values))


def _matrix(ratings: Numbers) -> Array:
    values = numbers(ratings, "ratings")
    if values.ndim != 2:
        raise ValueError(f"ratings: expected an array of shape (n, k), got {values.shape}")
    if np.isinf(values).any():
        raise ValueError("ratings: infinity is not a rating; use NaN for a missing one")
    return values
