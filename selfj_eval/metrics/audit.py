"""A promise watched while ratings come in: a test that may be looked at after every one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from selfj_eval.jobs.arguments import Numbers, numbers
from selfj_eval.metrics.result import Array

BETS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Bets that are mixed, as shares of the largest: small ones find a risk just above the promise."""
FIRST_FRESH = 64
"""After how many steps fresh capital comes in for the first time; then after twice as many, ..."""


def audit_evidence(
    steps: Numbers,
    *,
    max_risk: float,
    least_inclusion: float = 1.0,
    bets: Sequence[float] = BETS,
    fresh: bool = True,
) -> Array:
    """Evidence against a promise after each step: an alarm at 1 / error is false with that error.

    The evidence is the capital of a gambler who starts with 1 and bets that losses are above
    ``max_risk``. As long as the expectation of every step, given those before, is at most 0,
    the chance that it ever reaches 1 / error is at most the error (Ville's inequality), however
    often one looks. Of a constant bet the capital is the product of 1 + bet step. Bets are mixed
    in equal parts. Capital that was lost while the promise held would delay the alarm, so fresh
    capital is kept for later: of the starts k = 0, 1, ... at the steps 0, 64, 128, 256, ... each
    has 1 / ((k + 1)(k + 2)) of the whole.

    Args:
        steps: Shape (n,), in the order in which they came: loss - max_risk, with the loss in
            [0, 1]; where only some answers are audited (audited / inclusion probability) times it.
        max_risk: The promise, in (0, 1).
        least_inclusion: The smallest inclusion probability that there can be, in (0, 1]. The
            largest bet is least_inclusion / max_risk.
        bets: As shares of the largest bet, in (0, 1).
        fresh: Whether capital is kept for later starts.

    Returns:
        Shape (n,), at least 0.

    Raises:
        ValueError: If a step could lose more than the capital.
    """
    z = numbers(steps, "steps")
    largest = least_inclusion / max_risk
    if len(z) and not (z >= -1 / largest - 1e-9).all():
        raise ValueError(f"steps must be at least {-1 / largest:g}, got {z.min():g}")
    # Shape (bets, n + 1): logarithms of the capital of each bet, from the first step on.
    gains = np.log1p(np.outer(bets, largest * z))
    path = np.concatenate([np.zeros((len(bets), 1)), np.cumsum(gains, axis=1)], axis=1)
    evidence = np.zeros(len(z))
    kept, start, number = 1.0, 0, 0
    while start < len(z):
        weight = kept if not fresh else 1 / ((number + 1) * (number + 2))
        evidence[:start] += weight
        grown = np.exp(np.minimum(path[:, start + 1 :] - path[:, [start]], 600.0))
        evidence[start:] += weight * grown.mean(axis=0)
        kept -= weight
        if not fresh:
            break
        start, number = FIRST_FRESH * 2**number, number + 1
    return evidence + max(kept, 0.0)
