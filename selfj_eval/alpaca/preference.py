"""From two scores to a preference, and the temperature between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from selfj_eval.jobs.arguments import Numbers, numbers
from selfj_eval.metrics.result import Array

TEMPERATURE = 1.0
"""Default: one point on 0..9 more gives odds of e (2.7) to 1."""


def default_temperature(scale: tuple[float, float]) -> float:
    """``TEMPERATURE`` for scores on another scale than 0..9.

    Args:
        scale: Its ends, in points of the score.
    """
    low, high = scale
    return TEMPERATURE * (high - low) / 9


def preference(baseline: Numbers, model: Numbers, temperature: float) -> Array:
    """AlpacaEval's preference: 1 for the baseline, 2 for the model, 1.5 for a tie.

    ``1 + sigmoid((model - baseline) / temperature)``; Self-J judges answers one by one, so that
    a preference is made of two scores.

    Args:
        baseline: Scores of the baseline's answers, shape (n,); NaN where unscored.
        model: Scores of the model's answers to the same instructions, shape (n,).
        temperature: In points of the score, at least 0. 0 asks only which score is higher.

    Returns:
        Shape (n,), in [1, 2]; NaN where one of the two is unscored.

    Raises:
        ValueError: If the temperature is negative or not finite.
    """
    from scipy.special import expit

    if not 0 <= temperature < np.inf:
        raise ValueError(f"temperature must be finite and at least 0, got {temperature}")
    gap = numbers(model, "model") - numbers(baseline, "baseline")
    if temperature == 0:
        return np.asarray(1.5 + np.sign(gap) / 2)
    return np.asarray(1 + expit(gap / temperature))


class Calibration(NamedTuple):
    """The temperature that fits given preferences best.

    Attributes:
        temperature: Maximum-likelihood temperature, or None where the preferences do not rise
            with the scores, so that there is none. 0 where the higher score always wins.
        log_loss: Mean cross-entropy in nats of the given preferences under it; without a
            temperature, that of a coin, log(2).
        n: Number of preferences.
    """

    temperature: float | None
    log_loss: float
    n: int


def fit_temperature(gap: Numbers, given: Numbers) -> Calibration:
    """Fit the temperature of ``preference`` to given preferences (such as GPT-4's).

    Maximum likelihood of ``sigmoid(gap / T)`` for the probability that the model's answer is
    preferred, a logistic regression through the origin on soft labels. There is no intercept:
    equal scores mean a tie.

    Args:
        gap: Score of the model's answer less that of the baseline's, shape (n,), finite.
        given: Preferences in [1, 2], shape (n,).
    """
    from scipy.optimize import brentq
    from scipy.special import expit, log_expit

    x, p = numbers(gap, "gap"), numbers(given, "given") - 1
    if x.shape != p.shape or x.ndim != 1 or not len(x):
        raise ValueError(f"expected two arrays of shape (n,), n > 0, got {x.shape} and {p.shape}")

    def slope_of_loss(inverse: float) -> float:
        return float((x * (expit(inverse * x) - p)).mean())

    if slope_of_loss(0.0) >= 0:
        return Calibration(None, float(np.log(2)), len(x))
    if float((x * ((x > 0) - p)).mean()) <= 0:  # however small the temperature, the loss falls
        return Calibration(0.0, float(np.log(2) * (x == 0).mean()), len(x))
    # The loss is convex in 1 / T: its slope changes sign once.
    inverse = 1 / float(np.abs(x).max())
    while slope_of_loss(inverse) < 0:
        inverse *= 2
    inverse = brentq(slope_of_loss, 0.0, inverse, xtol=1e-12 * inverse, rtol=1e-12)
    z = inverse * x
    loss = -(p * log_expit(z) + (1 - p) * log_expit(-z)).mean()
    return Calibration(float(1 / inverse), float(loss), len(x))
