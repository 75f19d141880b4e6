"""A risk that is promised over instructions, from all answers to each of them.

Answers to one instruction are not independent, instructions are. So each instruction gives one
number between 0 and 1, and a test that holds for any such numbers says whether their mean is small.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, codes, numbers
from selfj_eval.metrics.guarantee import STARTS, check_promise, fallback
from selfj_eval.metrics.result import Array, paired

GRID = 40
"""How many thresholds are tested: those that accept 1/40, 2/40, ... of the answers."""
_FOR_GRID = 10  # one instruction in so many is kept for making the grid


def certify_over_instructions(
    score: Numbers,
    loss: Numbers,
    group: Numbers,
    *,
    max_risk: float,
    confidence: float = 0.95,
    size: Numbers | None = None,
    seed: int = 0,
) -> float | None:
    """The most accepting threshold whose risk is at most ``max_risk``, from all answers.

    The promise: draw a new instruction, then one of its answers. If the answer scores at least the
    threshold, its expected loss is at most ``max_risk``. This holds with probability at least
    ``confidence`` over draws of the instructions, for any number of them and any losses in
    [0, 1]. It needs independent instructions; the risk need not fall with the threshold.

    How: a tenth of the instructions gives the thresholds, quantiles of its scores, so that they
    are fixed before the other instructions are looked at. Each of these gives the number
    Z = mean of 1[score >= threshold] (loss - max_risk) over its answers, and E Z <= 0 is the
    promise. ``betting_p_values`` tests it at each threshold, from the strictest to the most
    accepting, with the error dealt to fixed starts as in ``certify``.

    Args:
        score: Shape (n,), finite.
        loss: Shape (n,), in [0, 1]; 1 is a bad answer.
        group: Shape (n,): equal for answers to one instruction.
        max_risk: In (0, 1).
        confidence: In (0, 1).
        size: Shape (n,): how many answers the instruction has in all, where only some are given,
            each with the same probability. The mean over the given ones is then multiplied by their
            share, divided by the largest share, so that its expectation is the same multiple of Z
            for every instruction.
        seed: Of the order of the instructions.

    Returns:
        The threshold, or None when none can be certified.

    Raises:
        ValueError: If a loss lies outside [0, 1], or the arrays do not match.
    """
    check_promise(max_risk, confidence)
    return _certify(_split(score, loss, group, size, seed), max_risk, confidence)


def lowest_risk_over_instructions(
    score: Numbers,
    loss: Numbers,
    group: Numbers,
    *,
    confidence: float = 0.95,
    size: Numbers | None = None,
    seed: int = 0,
) -> float | None:
    """A ``max_risk``, to 0.001, from which on ``certify_over_instructions`` finds a threshold.

    As with ``lowest_certifiable_risk``, a promise at just this risk needs other answers.
    """
    check_promise(0.5, confidence)
    split = _split(score, loss, group, size, seed)
    first = bisect_left(
        range(1, 1000), True, key=lambda k: _certify(split, k / 1000, confidence) is not None
    )
    return (first + 1) / 1000 if first < 999 else None


def risk_over_instructions(
    score: Numbers,
    loss: Numbers,
    group: Numbers,
    threshold: float,
    *,
    size: Numbers | None = None,
) -> float | None:
    """The risk that ``certify_over_instructions`` bounds, as seen on these answers.

    The sum over instructions of the mean of 1[score >= threshold] loss over its answers, divided
    by that of 1[score >= threshold]; None where nothing is accepted. Arguments as there.
    """
    lost, accepted = _sums(score, loss, group, np.array([threshold]), size)
    total = float(accepted.sum())
    return float(lost.sum()) / total if total else None


def losses_over_instructions(
    score: Numbers,
    loss: Numbers,
    group: Numbers,
    *,
    thresholds: Numbers,
    max_risk: float,
    size: Numbers | None = None,
) -> Array:
    """What each instruction loses at each threshold: Z + max_risk.

    Args:
        score, loss, group, size: As for ``certify_over_instructions``.
        thresholds: Shape (t,), decreasing.
        max_risk: In (0, 1).

    Returns:
        Shape (t, instructions), in [0, 1]; an instruction without accepted answers has max_risk.
    """
    lost, accepted = _sums(score, loss, group, np.asarray(thresholds, dtype=float), size)
    return lost + max_risk * (1 - accepted)


def betting_p_values(
    losses: Numbers,
    mean: float,
    *,
    error: float,
    prior: tuple[float, float] | None = None,
    largest: float = 0.95,
) -> Array:
    """P-values of "the expected loss is above ``mean``", by betting that it is not.

    The capital is the product of 1 + bet (mean - loss), each bet set by the losses before it:
    sqrt(2 ln(1 / error) / (n variance)), at most ``largest`` / (1 - mean). If the hypothesis holds,
    the largest capital exceeds 1 / p with probability at most p (Waudby-Smith and Ramdas 2024,
    arXiv 2010.09686, their predictable plug-in bets).

    Args:
        losses: Shape (..., n), in [0, 1], independent, in an order that does not depend on them.
        mean: In (0, 1).
        error: The level that the bets are made for, in (0, 1); the p-values hold for every level.
        prior: Mean and variance before the first loss, counted as one; default: ``mean`` and
            ``mean`` / 4, for losses that are mostly ``mean``.
        largest: Largest bet, as a share of the one that could lose all, in (0, 1).

    Returns:
        Shape (...), in (0, 1].
    """
    x = np.asarray(losses, dtype=float)
    n = x.shape[-1]
    if not n:
        return np.ones(x.shape[:-1])
    start, spread = (mean, mean / 4) if prior is None else prior
    count = np.arange(2, n + 2)
    running = (start + np.cumsum(x, axis=-1)) / count
    after = (spread + np.cumsum((x - running) ** 2, axis=-1)) / count
    before = np.concatenate([np.full((*x.shape[:-1], 1), spread), after[..., :-1]], axis=-1)
    bets = np.minimum(np.sqrt(2 * math.log(1 / error) / (n * before)), largest / (1 - mean))
    capital = np.cumsum(np.log1p(bets * (mean - x)), axis=-1).max(axis=-1)
    found: Array = np.exp(-np.maximum(capital, 0.0))
    return found


class _Split(NamedTuple):
    """Thresholds with the starts that belong to each, and the answers that they are tested on."""

    thresholds: Array
    dealt: npt.NDArray[np.int64]
    score: Array
    loss: Array
    place: npt.NDArray[np.int64]
    size: Array | None


def _split(
    score: Numbers, loss: Numbers, group: Numbers, size: Numbers | None, seed: int
) -> _Split:
    a, b = paired(score, loss)
    if len(b) and (b.min() < 0 or b.max() > 1):
        raise ValueError(f"losses must lie in [0, 1], got {b.min():g} to {b.max():g}")
    code = codes(group, "group", len(a))
    instructions = int(code.max()) + 1 if len(code) else 0
    place = np.random.default_rng(seed).permutation(instructions)[code]
    kept = math.ceil(instructions / _FOR_GRID)
    ranked = -np.sort(-a[place < kept])
    at = np.ceil(np.arange(1, GRID + 1) / GRID * len(ranked)).astype(int) - 1
    thresholds: Array = np.unique(ranked[at])[::-1] if len(ranked) else ranked
    # A start belongs to the first threshold that accepts so many; ties can put several on one.
    shares = np.ceil(len(ranked) * np.array(STARTS)).astype(int) - 1
    first = np.searchsorted(-thresholds, -ranked[shares]) if len(ranked) else shares[:0]
    dealt = np.bincount(first, minlength=len(thresholds)).astype(np.int64)
    rest = place >= kept
    sizes = None if size is None else numbers(size, "size")[rest]
    return _Split(thresholds, dealt, a[rest], b[rest], place[rest] - kept, sizes)


def _certify(split: _Split, max_risk: float, confidence: float) -> float | None:
    if not len(split.score):
        return None
    losses = losses_over_instructions(
        split.score,
        split.loss,
        split.place,
        thresholds=split.thresholds,
        max_risk=max_risk,
        size=split.size,
    )
    part = (1 - confidence) / len(STARTS)
    best = fallback(betting_p_values(losses, max_risk, error=part), part * split.dealt)
    return None if best is None else float(split.thresholds[best])


def _sums(
    score: Numbers, loss: Numbers, group: Numbers, thresholds: Array, size: Numbers | None
) -> tuple[Array, Array]:
    """Mean of 1[score >= threshold] loss, and of 1[score >= threshold], shape (t, instructions)."""
    a, b = paired(score, loss)
    code = codes(group, "group", len(a))
    wide, high = int(code.max()) + 1 if len(code) else 0, len(thresholds)
    first = np.searchsorted(-thresholds, -a)  # the strictest threshold that accepts the answer
    cell = first * wide + code

    def total(weights: Array) -> Array:
        cells = np.bincount(cell, weights, minlength=(high + 1) * wide).reshape(high + 1, wide)
        found: Array = np.cumsum(cells[:-1], axis=0)
        return found

    count: npt.NDArray[Any] = np.bincount(code, minlength=wide)
    if size is not None:
        share = count**2 / np.bincount(code, numbers(size, "size"), minlength=wide)
        count = count / (share / share.max(initial=0.0))
    return total(b) / count, total(np.ones(len(a))) / count
