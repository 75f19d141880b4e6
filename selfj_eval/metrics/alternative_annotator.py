"""The judge as one more rater: the alternative annotator test (Calderon et al., arXiv 2501.10970).

May the judge take a rater's place? Each rater in turn is left out, and rater and judge are compared
by how well they agree with the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import counted
from selfj_eval.jobs.arguments import Numbers, codes, numbers
from selfj_eval.metrics.rater_agreement import mean_metric
from selfj_eval.metrics.result import FEWEST_UNITS, Array, Metric

EPSILONS = (0.1, 0.15, 0.2)
"""Advantages that a rater must have to be worth the cost: the paper's for crowd workers, skilled
raters and experts."""
FEWEST_RATERS = 3
PASSED_AT = 0.5
"""Winning rate from which on the judge may take a rater's place."""

Scoring = Literal["accuracy", "rmse"]


class ReplacedRater(NamedTuple):
    """The judge against one rater.

    Attributes:
        n: Answers that this rater and at least one other have rated.
        advantage: Share of them on which the judge agrees with the others at least as well.
        p_values: By epsilon as text, of the hypothesis that the rater's advantage is epsilon or
            more; None where there are too few answers for a test.
    """

    n: int
    advantage: Metric
    p_values: Mapping[str, float | None]


class AlternativeAnnotatorTest(NamedTuple):
    """The test, with one way of scoring agreement.

    Attributes:
        raters: One a rater, in their order.
        advantage: Mean of the tested raters' advantages: the chance that the judge agrees with the
            others at least as well as a rater does.
        winning_rates: By epsilon as text, the share of tested raters whom the judge beats, or
            matches at lower cost; passed from ``PASSED_AT`` on.
    """

    raters: tuple[ReplacedRater, ...]
    advantage: Metric
    winning_rates: Mapping[str, Metric]


def alternative_annotator_test(
    ratings: Numbers,
    judge: Numbers,
    scoring: Scoring,
    *,
    epsilons: Sequence[float] = EPSILONS,
    group: Numbers | None = None,
    error: float = 0.05,
) -> AlternativeAnnotatorTest:
    """Whether a judge may take the place of a rater.

    With S the agreement with the other raters, d = 1[S_rater >= S_judge] - 1[S_judge >= S_rater] on
    each answer. A one-sided t-test asks whether the mean of d is below epsilon; of the tests of
    all raters those hold that Benjamini and Yekutieli's procedure rejects.

    Args:
        ratings: Shape (n, k); NaN where there is none.
        judge: Shape (n,), finite, on the same scale.
        scoring: ``accuracy``: how many of the others gave the same rating, for which the judge is
            rounded to whole numbers, halves up. ``rmse``: how close the ratings of the others are,
            as the root of the mean squared difference, which favours a judge with decimals.
        epsilons: Advantages that a rater must have, at least 0.
        group: Shape (n,). Answers that belong together, such as those to one instruction: d is
            averaged over them. Default: each answer by itself.
        error: Allowed false discovery rate, in (0, 1).

    Returns:
        The winning rates; undefined with the reason with fewer than ``FEWEST_RATERS`` raters with
        ``FEWEST_UNITS`` answers or groups each.
    """
    values, score = numbers(ratings, "ratings"), numbers(judge, "judge")
    if values.ndim != 2 or score.shape != values.shape[:1]:
        raise ValueError(f"expected shapes (n, k) and (n,), got {values.shape} and {score.shape}")
    if not np.isfinite(score).all():
        raise ValueError("judge: NaN or infinity; leave unscored records out, and count them")
    unit = np.arange(len(values)) if group is None else codes(group, "group", len(values))
    if scoring == "accuracy":
        score = np.floor(score + 0.5)
    found, tested, reason = [], list[int](), None
    for k in range(values.shape[1]):
        own, others, row = _against_others(values, k)
        loss, judged = (_losses(x, others, scoring) for x in (own, score[row]))
        # Sums of the same squares in another order differ by rounding.
        near = 1e-9 * np.maximum(loss, judged)
        rater_wins, judge_wins = loss <= judged + near, judged <= loss + near
        d = _means(rater_wins.astype(float) - judge_wins, unit[row])
        p: dict[str, float | None] = {f"{e:g}": None for e in epsilons}
        if len(d) >= FEWEST_UNITS:
            tested.append(k)
            p = {f"{e:g}": _p_value(d, e) for e in epsilons}
        advantage = Metric(None, 0, "no answer that this rater and another have rated")
        if len(row):
            advantage = Metric(float(judge_wins.mean()), len(row))
        found.append(ReplacedRater(len(row), advantage, p))
    if len(tested) < FEWEST_RATERS:
        what = "answers" if group is None else "instructions"
        reason = (
            f"only {len(tested)} of {len(found)} raters share {FEWEST_UNITS} {what} with others; "
            f"the alternative annotator test needs {FEWEST_RATERS}"
        )
        if len(found) < FEWEST_RATERS:
            some = counted(len(found), "rater")
            reason = f"only {some}; the alternative annotator test needs {FEWEST_RATERS}"
        nothing = Metric(None, len(tested), reason)
        rates = {f"{e:g}": nothing for e in epsilons}
        return AlternativeAnnotatorTest(tuple(found), nothing, rates)
    rates = {}
    for e in epsilons:
        p_values = np.array([found[k].p_values[f"{e:g}"] for k in tested], dtype=float)
        won = int(benjamini_yekutieli(p_values, error).sum())
        rates[f"{e:g}"] = Metric(won / len(tested), len(tested))
    advantage = mean_metric([found[k].advantage for k in tested], "no raters")
    return AlternativeAnnotatorTest(tuple(found), advantage, rates)


def benjamini_yekutieli(p_values: Numbers, error: float) -> npt.NDArray[np.bool_]:
    """Which hypotheses are rejected at a false discovery rate, whatever depends on what.

    Args:
        p_values: Shape (m,), in [0, 1].
        error: Allowed false discovery rate, in (0, 1).
    """
    p = numbers(p_values, "p_values")
    m = len(p)
    if not m:
        return np.zeros(0, dtype=bool)
    bounds = error * np.arange(1, m + 1) / (m * (1 / np.arange(1, m + 1)).sum())
    holds = np.flatnonzero(np.sort(p) <= bounds)
    limit = np.sort(p)[holds[-1]] if len(holds) else -1.0
    rejected: npt.NDArray[np.bool_] = p <= limit
    return rejected


def _against_others(values: Array, k: int) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """A rater's ratings, those of the others (NaN where there is none), and their rows."""
    given = np.isfinite(values)
    row = np.flatnonzero(given[:, k] & (given.sum(axis=1) > 1))
    return values[row, k], np.delete(values[row], k, axis=1), row


def _losses(own: Array, others: Array, scoring: Scoring) -> Array:
    """Disagreement with the others on each answer: only its order on one answer has a meaning."""
    gaps = others - own[:, None]
    lost: Array = np.nansum(
        (gaps != 0) & np.isfinite(gaps) if scoring == "accuracy" else gaps**2, 1
    )
    return lost.astype(float)


def _means(values: Array, unit: npt.NDArray[np.int64]) -> Array:
    """The mean of each unit that occurs."""
    _, code, count = np.unique(unit, return_inverse=True, return_counts=True)
    means: Array = np.bincount(code, weights=values, minlength=len(count)) / count
    return means


def _p_value(d: Array, epsilon: float) -> float:
    """One-sided t-test that the mean is below epsilon; 0 or 1 where d is the same throughout."""
    from scipy.stats import t

    gap, spread = float(d.mean()) - epsilon, float(d.std(ddof=1))
    if spread <= 1e-12:
        return 0.0 if gap < 0 else 1.0
    return float(t.cdf(gap / (spread / np.sqrt(len(d))), len(d) - 1))
