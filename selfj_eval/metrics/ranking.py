"""Agreement of two rankings of systems, and strengths from wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, items, numbers
from selfj_eval.metrics.correlation import kendall_tau_b, spearman
from selfj_eval.metrics.result import Array, Metric, no_spread, paired


class RankingAgreement(NamedTuple):
    """How well two rankings of the same systems agree; ``n`` of each is the number of systems.

    Attributes:
        spearman: Spearman's rho of the means, in [-1, 1].
        kendall_tau_b: Kendall's tau-b of the means, in [-1, 1].
        rbo: Rank-biased overlap, in [0, 1], where the top counts most.
    """

    spearman: Metric
    kendall_tau_b: Metric
    rbo: Metric


def ranking_agreement(
    score: Numbers, rating: Numbers, names: Iterable[str], p: float = 0.9
) -> RankingAgreement:
    """Agreement of the ranking by score with the ranking by rating.

    For the rank-biased overlap, which knows no ties, equal means are ordered by name.

    Args:
        score: Each system's mean score, shape (k,), finite; higher is better.
        rating: Each system's mean rating, shape (k,), finite; higher is better.
        names: The systems' names, k of them, no two alike.
        p: Persistence of ``rank_biased_overlap``, in (0, 1).

    Returns:
        The three agreements; undefined with their reason when k < 2 or one side is constant.
    """
    a, b = paired(score, rating)
    systems = _ranked(names, "ranking_agreement()")
    if len(systems) != len(a):
        raise ValueError(f"{len(systems)} names for {len(a)} systems; give one name per system")
    if len(a) < 2:
        reason: str | None = f"systems to rank: {len(a)}; at least 2 are needed"
    else:
        # A constant side ranks nothing; ordered by name it could still look like agreement.
        reason = no_spread(a, "mean scores") or no_spread(b, "mean ratings")
    if reason:
        return RankingAgreement(*[Metric(None, len(a), reason)] * 3)
    first, second = ([name for _, name in sorted(zip(-x, systems, strict=True))] for x in (a, b))
    overlap = rank_biased_overlap(first, second, p)
    return RankingAgreement(spearman(a, b), kendall_tau_b(a, b), Metric(overlap, len(a)))


def rank_biased_overlap(first: Iterable[str], second: Iterable[str], p: float = 0.9) -> float:
    """Extrapolated rank-biased overlap: in [0, 1], 1 for equal rankings.

    RBO_ext of Webber, Moffat and Zobel 2010, "A similarity measure for indefinite rankings",
    equation 32: the share of common items in the first d places, averaged over d with weights
    p**(d - 1), taking the agreement at the end of the lists to go on below it.

    Args:
        first: A ranking, best first, without ties; at least one item.
        second: Another one; it may hold other items and be longer or shorter.
        p: Persistence, in (0, 1): the smaller, the more the top counts.

    Raises:
        ValueError: If p is out of range, or a ranking is empty or names an item twice.
    """
    if not 0 < p < 1:
        raise ValueError(f"p must be between 0 and 1, both excluded, not {p:g}")
    both = (_ranked(ranking, "rank_biased_overlap()") for ranking in (first, second))
    short, long = sorted(both, key=len)
    if not len(short):
        raise ValueError("an empty ranking overlaps with nothing; leave it out")
    for ranking in (short, long):
        twice = [item for item, count in Counter(ranking).items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} is in a ranking twice; each item has one place")
    s, n = len(short), len(long)
    place_short = {item: place for place, item in enumerate(short, start=1)}
    # An item becomes common at the depth that reaches the lower of its two places.
    pairs = ((place, place_short.get(item)) for place, item in enumerate(long, start=1))
    reached = [max(place, other) for place, other in pairs if other]
    common = np.bincount(reached, minlength=n + 1).cumsum()[1:]
    depth = np.arange(1, n + 1)
    # Below the end of the shorter list its missing part is taken to agree as its end does.
    agreement = (common + common[s - 1] * np.maximum(depth - s, 0) / s) / depth
    weight = (1 - p) * p ** (depth - 1.0)
    value = float(weight @ agreement + agreement[-1] * p**n)
    return min(value, 1.0)  # equal rankings: the weights' sum may round to just above 1


def bradley_terry(wins: Numbers) -> Array:
    """Bradley-Terry log-strengths by maximum likelihood.

    P(i beats j) = 1 / (1 + exp(theta_j - theta_i)): Bradley and Terry 1952, "Rank analysis of
    incomplete block designs: I. The method of paired comparisons".

    Args:
        wins: Shape (k, k), at least 0: wins[i, j] is how often i beat j; a tie can be given as
            half a win on both sides. The diagonal is 0.

    Returns:
        Log-strengths, shape (k,), with mean 0; higher is better.

    Raises:
        ValueError: If ``wins`` is no such matrix, or the likelihood has no maximum.
    """
    from scipy.sparse.csgraph import connected_components
    from scipy.special import expit

    won = numbers(wins, "wins")
    if won.ndim != 2 or won.shape[0] != won.shape[1] or not won.size:
        raise ValueError(f"expected wins of shape (k, k) with k at least 1, got {won.shape}")
    if not np.isfinite(won).all() or (won < 0).any() or np.diagonal(won).any():
        raise ValueError("wins must be finite and at least 0, and 0 on the diagonal")
    # Ford 1957, "Solution of a ranking problem from binary comparisons": there is a maximum if
    # and only if every player is linked to every other one by a chain of wins.
    groups, group = connected_components(won > 0, directed=True, connection="strong")
    if groups > 1:
        smallest = np.flatnonzero(group == np.bincount(group).argmin())
        shown = ", ".join(map(str, smallest[:5])) + (", ..." if len(smallest) > 5 else "")
        raise ValueError(
            "no finite Bradley-Terry strengths: no chains of wins lead both from and to players "
            f"{shown}; add comparisons, leave these players out, or add some wins (say 0.5) on "
            "both sides of every pair"
        )
    theta = np.zeros(len(won))
    games = won + won.T
    for _ in range(200):
        loses = expit(theta[None, :] - theta[:, None])  # P(j beats i), at [i, j]
        # Not wins minus expected wins: that difference is lost to rounding in one-sided pairs.
        gradient = (won * loses - (won * loses).T).sum(axis=1)
        weight = games * loses * loses.T
        # Strengths are free up to a constant; the added constant matrix fixes it.
        hessian = np.diag(weight.sum(axis=1)) - weight + (weight.max() or 1.0)
        try:
            step = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            break
        # Undamped Newton steps can diverge. This factor, which goes to 1, always climbs: Sun and
        # Tran-Dinh 2019, "Generalized self-concordant functions", for curvature of this kind.
        spread = float(np.abs(step[:, None] - step[None, :])[games > 0].max(initial=0))
        theta += step * (np.log1p(spread) / spread if spread > 0 else 1.0)
        if spread <= 1e-7:  # the steps' sizes square from one to the next
            theta -= theta.mean()  # the steps' means are 0 but for rounding
            return theta
    raise ValueError("no convergence: leave out the players that win or lose almost always")


def separability(low: Numbers, high: Numbers) -> float:
    """Share of pairs of models whose intervals do not overlap, in [0, 1].

    "Separability with confidence" of Li et al. 2024, "From crowdsourced data to high-quality
    benchmarks: Arena-Hard and BenchBuilder pipeline", section 3. Intervals that touch overlap.

    Args:
        low: Lower ends of the models' intervals, shape (k,), finite, k at least 2.
        high: Upper ends, shape (k,), none below its lower end; else ValueError.
    """
    return float(np.abs(_order(low, high)).mean())


def agreement(low_a: Numbers, high_a: Numbers, low_b: Numbers, high_b: Numbers) -> float:
    """Agreement of two benchmarks on the pairs that they separate, in [-1, 1].

    "Agreement with confidence interval" of Li et al. 2024 (see ``separability``): a pair of
    models counts +1 if both benchmarks separate it in the same order, -1 if both separate it in
    opposite orders, and 0 if one of them does not separate it; the mean is over all pairs, so it
    is at most the smaller of the two separabilities.

    Args:
        low_a, high_a: The models' intervals on one benchmark, as for ``separability``.
        low_b, high_b: The same models' intervals on the other benchmark, in the same order.
    """
    a, b = _order(low_a, high_a), _order(low_b, high_b)
    if a.shape != b.shape:
        raise ValueError("the two benchmarks must have intervals for the same models")
    return float((a * b).mean())


def _ranked(values: Iterable[Any], where: str) -> list[Any]:
    """Whatever is ranked; of a text its letters."""
    return items(list(values) if isinstance(values, str) else values, object, where)


def _order(low: Numbers, high: Numbers) -> npt.NDArray[np.int64]:
    """For each pair i < j: 1 if i's interval is above j's, -1 if below, 0 if they overlap."""
    bottom, top = paired(low, high)
    if len(bottom) < 2:
        raise ValueError(f"intervals of {len(bottom)} models make no pairs; give at least 2")
    if (bottom > top).any():
        raise ValueError("an interval's lower end is above its upper end; are they swapped?")
    i, j = np.triu_indices(len(bottom), k=1)
    return (bottom[i] > top[j]).astype(np.int64) - (top[i] < bottom[j]).astype(np.int64)
