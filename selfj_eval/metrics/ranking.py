"""Agreement of two rankings of systems, and strengths from wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from selfj_eval.jobs.arguments import Numbers, items
from selfj_eval.metrics.correlation import kendall_tau_b, spearman
from selfj_eval.metrics.result import Metric, no_spread, paired


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


def _ranked(values: Iterable[Any], where: str) -> list[Any]:
    """Whatever is ranked; of a text its letters."""
    return items(list(values) if isinstance(values, str) else values, object, where)
