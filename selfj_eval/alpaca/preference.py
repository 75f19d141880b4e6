"""From two scores to a preference, and the temperature between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.metrics.result import Array

TEMPERATURE = 1.0
"""Default: one point on 0..9 more gives odds of e (2.7) to 1."""


def preference(baseline: npt.ArrayLike, model: npt.ArrayLike, temperature: float) -> Array:
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
    gap = np.asarray(model, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    if temperature == 0:
        return np.asarray(1.5 + np.sign(gap) / 2)
    return np.asarray(1 + expit(gap / temperature))


class Calibration(NamedTuple):
    """The temperature that fits given preferences best.

    Attributes:
        temperature: Maximum-likelihood temperature, or None where the preferences do not rise
            with the scores, so that there is none.
        log_loss: Mean cross-entropy in nats of the given preferences under it; without a
            temperature, that of a coin, log(2).
        n: Number of preferences.
    """

    temperature: float | None
    log_loss: float
    n: int


def fit_temperature(gap: npt.ArrayLike, given: npt.ArrayLike) -> Calibration:
    """Fit the temperature of ``preference`` to given preferences (such as GPT-4's).

    Maximum likelihood of ``sigmoid(gap / T)`` for the probability that the model's answer is
    preferred, a logistic regression through the origin on soft labels. There is no intercept:
    equal scores mean a tie.

    Args:
        gap: Score of the model's answer less that of the baseline's, shape (n,), finite.
        given: Preferences in [1, 2], shape (n,).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_expit

    x, p = np.asarray(gap, dtype=np.float64), np.asarray(given, dtype=np.float64) - 1
    if x.shape != p.shape or x.ndim != 1 or not len(x):
        raise ValueError(f"expected two arrays of shape (n,), n > 0, got {x.shape} and {p.shape}")
    scale = float(np.abs(x).max())

    if scale == 0 or float((x * (p - 0.5)).mean()) <= 0:  # downhill from a slope of 0
        return Calibration(None, float(np.log(2)), len(x))

    def loss(slope: float) -> float:
        z = slope * (x / scale)
        return float(-(p * log_expit(z) + (1 - p) * log_expit(-z)).mean())

    # Convex in the slope; at a slope of 1000 the largest gap decides all by itself.
    best = minimize_scalar(loss, bounds=(0, 1000), method="bounded", options={"xatol": 1e-7})
    return Calibration(float(scale / best.x), float(best.fun), len(x))
