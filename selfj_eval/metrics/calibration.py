"""Calibration: what a score says about the probability that the answer is good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, codes, numbers, truths
from selfj_eval.metrics.result import Array, Metric, paired

FOLDS = 5


class Reliability(NamedTuple):
    """The bins of a reliability diagram; empty bins are left out.

    Attributes:
        low, high: Shape (b,). Edges of each bin in [0, 1], open below, closed above; the first
            bin holds 0 too.
        size: Shape (b,). Number of answers.
        predicted: Shape (b,). Mean predicted probability.
        observed: Shape (b,). Share of good answers.
    """

    low: Array
    high: Array
    size: npt.NDArray[np.int64]
    predicted: Array
    observed: Array


def reliability(probability: Numbers, good: Numbers, *, bins: int = 10) -> Reliability:
    """Answers binned by predicted probability, in bins of equal width.

    Args:
        probability: Shape (n,), in [0, 1].
        good: Shape (n,), true or false.
        bins: Number of bins, at least 1.

    Raises:
        ValueError: If a probability lies outside [0, 1], or the arrays do not match.
    """
    p, y = _checked(probability, good)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    edges = np.arange(bins + 1) / bins
    place = np.digitize(p, edges[1:-1], right=True)
    count = np.bincount(place, minlength=bins)
    used = np.flatnonzero(count)
    predicted = np.bincount(place, weights=p, minlength=bins)[used] / count[used]
    observed = np.bincount(place, weights=y, minlength=bins)[used] / count[used]
    return Reliability(edges[used], edges[used + 1], count[used], predicted, observed)


def ece(probability: Numbers, good: Numbers, *, bins: int = 10) -> Metric:
    """Expected calibration error, in [0, 1] (Naeini et al. 2015).

    The mean of |predicted - observed| over the bins of ``reliability``, weighted by their
    sizes. Bins are closed above: with ten, 0.3 belongs to (0.2, 0.3].
    """
    table = reliability(probability, good, bins=bins)
    n = int(table.size.sum())
    if not n:
        return Metric(None, 0, "no scored records")
    gaps = np.abs(table.predicted - table.observed)
    return Metric(float((gaps * table.size).sum() / n), n)


def brier(probability: Numbers, good: Numbers) -> Metric:
    """Brier score: mean squared difference of probability and outcome, in [0, 1]."""
    p, y = _checked(probability, good)
    if not len(p):
        return Metric(None, 0, "no scored records")
    return Metric(float(((p - y) ** 2).mean()), len(p))


def log_loss(probability: Numbers, good: Numbers) -> Metric:
    """Mean negative natural logarithm of the probability given to what happened, at least 0.

    Undefined when an outcome that happened was given probability 0.
    """
    p, y = _checked(probability, good)
    if not len(p):
        return Metric(None, 0, "no scored records")
    given = np.where(y == 1, p, 1 - p)
    if (given == 0).any():
        wrong = int((given == 0).sum())
        return Metric(None, len(p), f"infinite: {wrong} outcomes happened at probability 0")
    return Metric(float(-np.log(given).mean()), len(p))


class Logistic(NamedTuple):
    """P(good | score) = 1 / (1 + exp(-(slope score + intercept)))."""

    slope: float
    intercept: float

    def __call__(self, score: Numbers) -> Array:
        """Probabilities in (0, 1) for scores of any shape."""
        from scipy.special import expit

        result: Array = expit(self.slope * numbers(score, "score") + self.intercept)
        return result


class Isotonic(NamedTuple):
    """P(good | score) as a non-decreasing line through points, flat beyond its ends."""

    score: Array
    probability: Array

    def __call__(self, score: Numbers) -> Array:
        """Probabilities in [0, 1] for scores of any shape."""
        result: Array = np.interp(numbers(score, "score"), self.score, self.probability)
        return result


def fit_platt(score: Numbers, good: Numbers) -> Logistic:
    """A logistic curve through good and bad answers (Platt 1999).

    With Platt's targets ``(good + 1) / (good + 2)`` and ``1 / (bad + 2)`` in place of 1 and 0,
    so that separable scores give no infinite slope and one kind of answer alone no certainty.

    Args:
        score: Shape (n,), finite.
        good: Shape (n,), true or false.

    Raises:
        ValueError: If there are no answers.
    """
    a, y = paired(score, truths(good, "good"))
    positives = y.sum()
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
    return fit_logistic(a, target)


def fit_logistic(score: Numbers, target: Numbers) -> Logistic:
    """The maximum-likelihood logistic curve through probabilities ``target`` in [0, 1]."""
    from scipy.optimize import minimize
    from scipy.special import expit

    a, t = paired(score, target)
    if not len(a):
        raise ValueError("no scored records to calibrate on")
    centre, spread = float(a.mean()), float(a.std()) or 1.0
    x = (a - centre) / spread  # standardised, the two parameters hardly depend on each other

    def loss(parameters: Array) -> tuple[float, Array]:
        z = parameters[0] * x + parameters[1]
        gap = expit(z) - t
        # log(1 + exp(z)), three times as fast as np.logaddexp and as exact
        softplus = np.maximum(z, 0).sum() + np.log1p(np.exp(-np.abs(z))).sum()
        return float(softplus - t @ z) / len(x), np.array([gap @ x, gap.sum()]) / len(x)

    def curvature(parameters: Array) -> Array:
        p = expit(parameters[0] * x + parameters[1])
        weight = p * (1 - p) / len(x)
        mixed = weight @ x
        return np.array([[weight @ x**2, mixed], [mixed, weight.sum()]])

    found = minimize(
        loss, np.zeros(2), jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-9}
    )
    slope = float(found.x[0]) / spread
    return Logistic(slope, float(found.x[1]) - slope * centre)


def fit_isotonic(score: Numbers, good: Numbers) -> Isotonic:
    """The non-decreasing fit with the least squared error (Zadrozny and Elkan 2002).

    Arguments and errors as for ``fit_platt``.
    """
    from sklearn.isotonic import IsotonicRegression

    a, y = paired(score, truths(good, "good"))
    if not len(a):
        raise ValueError("no scored records to calibrate on")
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(a, y)
    return Isotonic(np.asarray(fitted.X_thresholds_), np.asarray(fitted.y_thresholds_))


def cross_fitted(
    score: Numbers,
    good: Numbers,
    method: Literal["isotonic", "platt"],
    *,
    group: Numbers | None = None,
) -> Array | None:
    """P(good) of every answer, from a curve fitted to the other folds.

    Folds are dealt at random with a fixed seed, in an order of the answers that does not
    depend on the order they come in.

    Args:
        score: Shape (n,), finite.
        good: Shape (n,), true or false.
        method: The curve, of ``fit_isotonic`` or of ``fit_platt``.
        group: Shape (n,). Answers that belong together, such as those to one instruction, are
            in one fold. Default: each answer by itself.

    Returns:
        Shape (n,), in [0, 1]; None when there are fewer than 10 answers or groups.
    """
    return cross_fit(score, good, fit_isotonic if method == "isotonic" else fit_platt, group=group)


class Fitted(Protocol):
    """A function of the score that was fitted to rated answers."""

    def __call__(self, score: Array, /) -> npt.NDArray[Any]: ...


def cross_fit(
    score: Numbers,
    good: Numbers,
    fit: Callable[[Array, Array], Fitted],
    *,
    group: Numbers | None = None,
) -> Array | None:
    """What a function of the score, fitted to the other folds, gives for every answer.

    Args:
        score, good, group: As for ``cross_fitted``.
        fit: From scores and truth values to the function.

    Returns:
        Shape (n,); None when there are fewer than 10 answers or groups.
    """
    a, y = paired(score, truths(good, "good"))
    order = np.lexsort((y, a))  # also lets both fits run over sorted scores, which is faster
    a, y = a[order], y[order]
    unit = np.arange(len(a))
    if group is not None:
        unit = codes(group, "group", len(a))[order]
    units = int(unit.max(initial=-1)) + 1
    if units < 2 * FOLDS:
        return None
    fold = (np.random.default_rng(0).permutation(units) % FOLDS)[unit]
    result = np.empty(len(a))
    for k in range(FOLDS):
        others = fold != k
        curve = fit(a[others], y[others])
        result[order[~others]] = curve(a[~others])
    return result


def _checked(probability: Numbers, good: Numbers) -> tuple[Array, Array]:
    p, y = paired(probability, truths(good, "good"))
    if len(p) and (p.min() < 0 or p.max() > 1):
        raise ValueError(f"probabilities must lie in [0, 1], got {p.min():g} to {p.max():g}")
    return p, y
