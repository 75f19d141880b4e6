"""Bootstrap intervals of many metrics at once, over records or over groups of records."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, codes, numbers, truths
from selfj_eval.metrics.headline import Headline, headline
from selfj_eval.metrics.pair_order import Counts
from selfj_eval.metrics.resampled import RESAMPLED, ResampledHeadline
from selfj_eval.metrics.result import Array, Interval, Metric, paired

RESAMPLES = 1000
LARGEST_JACKKNIFE = 1000
"""With more units than this the interval is the percentile one: leaving each of n units out costs
as much as n resamples, and what it corrects shrinks with n."""
_MOST_UNDEFINED = 0.05

Statistic = Callable[[npt.NDArray[np.int64]], Array]
"""From the indices of the records drawn, shape (m,), to k values; NaN where undefined."""
CountStatistic = Callable[[Counts], Array]
"""From how often each record is drawn, shape (n,), to k values; NaN where undefined."""


class Bootstrap(NamedTuple):
    """Bootstrap distribution of k values.

    Attributes:
        value: Shape (k,). On the records themselves; NaN where undefined.
        samples: Shape (resamples, k). NaN where undefined.
        intervals: One a value; None where the value is undefined, is so in more than 5 % of the
            resamples, or is the same in all of them.
        units: How many units were drawn each time.
    """

    value: Array
    samples: Array
    intervals: tuple[Interval | None, ...]
    units: int


def bootstrap(
    statistic: Statistic,
    n: int,
    *,
    group: Numbers | None = None,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Bootstrap:
    """Draw n records with replacement, or as many groups as there are, again and again.

    The intervals are BCa (Efron 1987, JASA 82), with the acceleration from leaving one unit
    out; percentile intervals beyond ``LARGEST_JACKKNIFE`` units, where BCa is not finite, or
    where some resamples are undefined.

    Args:
        statistic: From indices to values, whatever their order.
        n: Number of records.
        group: Shape (n,). Records that belong together, such as answers to one instruction, are
            drawn together; their errors are not independent. Default: each record by itself.
        resamples: How often; at least 1.
        confidence: Level of the intervals, in (0, 1).
        seed: Of the random generator.
        progress: Told how many evaluations are done.
    """
    everything = np.arange(n)
    return bootstrap_of_counts(
        lambda count: statistic(np.repeat(everything, count)),
        n,
        group=group,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        progress=progress,
    )


def bootstrap_of_counts(
    statistic: CountStatistic,
    n: int,
    *,
    group: Numbers | None = None,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Bootstrap:
    """As ``bootstrap``, for a statistic that takes how often each record is drawn.

    With all records in their places it can be prepared once, where indices have to be sorted again
    and again.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    unit = None if group is None else codes(group, "group", n)
    units = n if unit is None else int(unit.max(initial=-1)) + 1
    if units == n:
        unit = None  # each record is a group
    value = statistic(np.ones(n, dtype=np.int64))
    if units < 2:
        return Bootstrap(value, np.empty((0, len(value))), (None,) * len(value), units)
    rng = np.random.default_rng(seed)
    samples = np.empty((resamples, len(value)))
    for row in range(resamples):
        count = np.bincount(rng.integers(0, units, units), minlength=units)
        samples[row] = statistic(count if unit is None else count[unit])
        progress(1)
    left_out = None
    if units <= LARGEST_JACKKNIFE:
        left_out = np.empty((units, len(value)))
        for k in range(units):
            count = np.ones(units, dtype=np.int64)
            count[k] = 0
            left_out[k] = statistic(count if unit is None else count[unit])
            progress(1)
    intervals = tuple(
        _interval(value[k], samples[:, k], None if left_out is None else left_out[:, k], confidence)
        for k in range(len(value))
    )
    return Bootstrap(value, samples, intervals, units)


def evaluations(n: int, group: Numbers | None, resamples: int) -> int:
    """How many evaluations ``bootstrap`` needs, for a progress bar."""
    units = n if group is None else len(np.unique(codes(group, "group")))
    if units < 2:
        return 0
    return resamples + (units if units <= LARGEST_JACKKNIFE else 0)


def headline_intervals(
    score: Numbers,
    rating: Numbers,
    good: Numbers,
    *,
    group: Numbers | None = None,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Headline:
    """The headline metrics with bootstrap intervals, which no order of the records changes.

    The ECE has none (``RESAMPLED``).

    Arguments as for ``headline`` and ``bootstrap``.
    """
    group = None if group is None else codes(group, "group")
    a, b, y, order = _canonical(score, rating, good, group)
    result = bootstrap_of_counts(
        ResampledHeadline(a, b, y).values,
        len(a),
        group=None if group is None else group[order],
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        progress=progress,
    )
    intervals = dict(zip(RESAMPLED, result.intervals, strict=True))
    return Headline(
        **{
            name: m._replace(interval=intervals.get(name))
            for name, m in headline(a, b, y)._asdict().items()
        }
    )


class Difference(NamedTuple):
    """How two judges differ in one metric on the same records.

    Attributes:
        first, second: The two values.
        difference: first - second, with its paired bootstrap interval.
        first_higher: Share of resamples in which the first is higher, equal ones counted half;
            None where the difference is undefined, and for the ECE.
    """

    first: Metric
    second: Metric
    difference: Metric
    first_higher: float | None


def headline_differences(
    first: Numbers,
    second: Numbers,
    rating: Numbers,
    good: Numbers,
    *,
    group: Numbers | None = None,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Difference]:
    """Every headline metric of two judges on the same records, and the difference.

    Both are computed on the same resamples, so that what they share cancels.

    Args:
        first, second: Shape (n,). Scores of the two judges.
        rating, good, group, resamples, confidence, seed, progress: As for ``headline_intervals``.
    """
    group = None if group is None else codes(group, "group")
    second = numbers(second, "second")
    a, b, y, order = _canonical(first, rating, good, group, second)
    other = second[order]
    k = len(RESAMPLED)
    judges = ResampledHeadline(a, b, y), ResampledHeadline(other, b, y)

    def both(count: Counts) -> Array:
        one, two = (judge.values(count) for judge in judges)
        return np.concatenate([one, two, one - two])

    result = bootstrap_of_counts(
        both,
        len(a),
        group=None if group is None else group[order],
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        progress=progress,
    )
    differences = {}
    for name, one, two in zip(
        Headline._fields, headline(a, b, y), headline(other, b, y), strict=True
    ):
        value, higher = None, None
        if one.value is not None and two.value is not None:
            value = one.value - two.value
        bounds: tuple[Interval | None, ...] = (None, None, None)
        if name in RESAMPLED:
            i = RESAMPLED.index(name)
            bounds = result.intervals[i::k]
            gaps = result.samples[:, 2 * k + i]
            gaps = gaps[np.isfinite(gaps)]
            if value is not None and len(gaps):
                higher = float((gaps > 0).mean() + 0.5 * (gaps == 0).mean())
        differences[name] = Difference(
            one._replace(interval=bounds[0]),
            two._replace(interval=bounds[1]),
            Metric(value, len(a), one.undefined or two.undefined, bounds[2]),
            higher,
        )
    return differences


def _canonical(
    score: Numbers,
    rating: Numbers,
    good: Numbers,
    group: npt.NDArray[np.int64] | None,
    other: Array | None = None,
) -> tuple[Array, Array, Array, npt.NDArray[np.intp]]:
    """The records in an order of their own, so that a seed draws the same ones from any order."""
    a, b = paired(score, rating)
    y = truths(good, "good").astype(np.float64)
    keys = [y, b, a] if other is None else [y, b, other, a]
    keys = keys if group is None else [*keys, group.astype(np.float64)]
    if wrong := [key.shape for key in keys if key.shape != a.shape]:
        raise ValueError(f"expected arrays of shape {a.shape}, got {wrong[0]}")
    order = np.lexsort(keys)
    return a[order], b[order], y[order], order


def _interval(
    value: float, samples: Array, left_out: Array | None, confidence: float
) -> Interval | None:
    from scipy.stats import norm

    defined = samples[np.isfinite(samples)]
    if not np.isfinite(value) or len(defined) < (1 - _MOST_UNDEFINED) * len(samples):
        return None
    if np.ptp(defined) <= 1e-12:
        return None  # such as a perfect AUROC of a few records: certain only by their number
    levels = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    method = "percentile"
    if left_out is not None and len(defined) == len(samples) and np.isfinite(left_out).all():
        # A resample that is the data in another order ties with the value, but for rounding.
        below = ((samples < value - 1e-12).mean() + (samples <= value + 1e-12).mean()) / 2
        deviation = left_out.mean() - left_out
        spread = (deviation**2).sum() ** 1.5
        acceleration = (deviation**3).sum() / (6 * spread) if spread else 0.0
        if 0 < below < 1:
            shift = norm.ppf(below)
            z = shift + norm.ppf(levels)
            levels = norm.cdf(shift + z / (1 - acceleration * z))
            method = "bca"
    low, high = np.quantile(defined, levels)
    return Interval(float(low), float(high), confidence, method)
