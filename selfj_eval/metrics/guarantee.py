"""An acceptance threshold whose risk on new records is bounded with a stated confidence."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, codes, numbers, truths
from selfj_eval.metrics.result import Array
from selfj_eval.metrics.selective import RiskCoverage, risk_coverage

STARTS = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the records at which testing starts, each with an equal part of the allowed error.

Few starts keep the parts large; halving finds a start within a factor of two of any coverage."""


class Certified(NamedTuple):
    """A certified threshold, and what was seen at it.

    Attributes:
        threshold: Accept the answers that score at least this.
        accepted: How many calibration records that accepts.
        bad: How many of them are bad.
        n: Number of calibration records.
    """

    threshold: float
    accepted: int
    bad: int
    n: int


def certify(
    score: Numbers, good: Numbers, *, max_risk: float, confidence: float = 0.95
) -> Certified | None:
    """The most accepting threshold whose true risk is at most ``max_risk``, with confidence.

    The promise: over draws of the calibration records, with probability at least
    ``confidence`` the share of bad answers among all future answers that score at least the
    threshold is at most ``max_risk``, when these records are independent draws from the source
    that future ones come from (``one_of_each`` helps where they come in groups). It holds for
    any number of records; there is no approximation.

    How: each distinct score is a threshold to be tested ("Learn then Test", Angelopoulos et al.
    2021, arXiv 2110.01052). With m accepted and k bad among them, its p-value is
    P(Binomial(m, max_risk) <= k), the test behind Clopper and Pearson's bound. Thresholds are
    tested from the strictest to the most accepting by the fallback procedure (Wiens 2003): the
    allowed error is dealt in equal parts to the thresholds that accept an eighth, a quarter, a
    half and all of the records, and what is in hand passes to the next threshold for as long
    as each one holds. The chance that any threshold holds wrongly is at most
    ``1 - confidence``. This assumes that the thresholds with too high a risk form one interval,
    as they do when a higher threshold has no higher risk.

    Args:
        score: Shape (n,), finite.
        good: Shape (n,), true or false.
        max_risk: Largest share of bad answers among the accepted, in (0, 1).
        confidence: In (0, 1).

    Returns:
        The threshold, or None when none can be certified on these records.
    """
    check_promise(max_risk, confidence)
    curve = risk_coverage(score, ~truths(good, "good"))
    return _certify(curve, max_risk, confidence)


def one_of_each(
    group: Numbers, *, size: Numbers | None = None, seed: int = 0
) -> npt.NDArray[np.int64]:
    """One record of each group, drawn at random: records that ``certify`` may take as independent.

    Args:
        group: Shape (n,): equal for records that belong together, such as answers to one
            instruction.
        size: Shape (n,): how many records the group has in all, where only some are given, such
            as those with a rating. A group is then kept with a probability that is proportional to
            the share that is given, 1 for the largest share. So groups with many records do not
            count more than others, though they are more likely to have one that is given.
        seed: Of the draw.

    Returns:
        Shape (g,): indices in increasing order of the groups.
    """
    code = codes(group, "group")
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(code)), code))
    found = order[np.flatnonzero(np.diff(code[order], prepend=-1))]
    if size is None:
        return found
    share = np.bincount(code) / numbers(size, "size")[found]
    kept: npt.NDArray[np.int64] = found[rng.random(len(found)) * share.max(initial=0.0) < share]
    return kept


def lowest_certifiable_risk(
    score: Numbers, good: Numbers, *, confidence: float = 0.95
) -> float | None:
    """The smallest ``max_risk``, to 0.001, for which ``certify`` finds a threshold.

    It says how far a target was out of reach. It has been chosen with a look at the same
    records, so a promise at just this risk needs other records.
    """
    check_promise(0.5, confidence)
    curve = risk_coverage(score, ~truths(good, "good"))
    # A higher risk certifies whatever a lower one does, so the first that works can be bisected.
    first = bisect_left(
        range(1, 1000), True, key=lambda k: _certify(curve, k / 1000, confidence) is not None
    )
    return (first + 1) / 1000 if first < 999 else None


def fewest_records(max_risk: float, confidence: float = 0.95) -> int:
    """How many accepted records, none of them bad, it takes at least to certify anything.

    That few do when all of them have one score; with distinct scores it takes more.
    """
    check_promise(max_risk, confidence)
    return math.ceil(math.log1p(-confidence) / math.log1p(-max_risk))


def fallback(p_values: Array, dealt: npt.NDArray[np.floating[Any]]) -> int | None:
    """The last hypothesis that the fallback procedure rejects (Wiens 2003), or None.

    Args:
        p_values: Shape (t,), in the order of testing.
        dealt: Shape (t,): the part of the allowed error that each hypothesis brings. What is in
            hand passes to the next hypothesis for as long as each one is rejected. The chance of
            any wrong rejection is at most their sum.
    """
    best, allowed = None, 0.0
    for point in range(len(p_values)):
        allowed += float(dealt[point])
        if p_values[point] <= allowed:
            best = point
        else:
            allowed = 0.0
    return best


def check_promise(max_risk: float, confidence: float) -> None:
    """Refuse a risk or a confidence that is none.

    Raises:
        ValueError: If one does not lie in (0, 1).
    """
    for name, value in (("max_risk", max_risk), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie in (0, 1), got {value}")


def _certify(curve: RiskCoverage, max_risk: float, confidence: float) -> Certified | None:
    from scipy.stats import binom

    if not curve.n:
        return None
    starts = np.ceil(curve.n * np.array(STARTS))
    # A start belongs to the first threshold that accepts so many; ties can put several on one.
    dealt = np.bincount(np.searchsorted(curve.accepted, starts), minlength=len(curve.accepted))
    p_values = binom.cdf(curve.loss, curve.accepted, max_risk)
    best = fallback(p_values, dealt * (1 - confidence) / len(STARTS))
    if best is None:
        return None
    return Certified(
        float(curve.threshold[best]), int(curve.accepted[best]), int(curve.loss[best]), curve.n
    )
