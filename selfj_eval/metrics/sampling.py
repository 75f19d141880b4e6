"""Which answers to rate: a random choice with a known probability for each of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, codes, numbers
from selfj_eval.metrics.result import Array


class Chosen(NamedTuple):
    """A sample.

    Attributes:
        chosen: Shape (k,). Which answers, in the order in which they were drawn.
        inclusion: Shape (n,), in [0, 1]. Probability with which each answer was to be chosen.
    """

    chosen: npt.NDArray[np.int64]
    inclusion: Array


def choose(
    count: int,
    *,
    size: Numbers,
    group: Numbers | None = None,
    stratum: Numbers | None = None,
    seed: int = 0,
) -> Chosen:
    """Systematic sampling with probabilities proportional to size (Madow 1949).

    Answers are put into a random order in which those of one group stand together, and every
    ``1 / inclusion``-th is taken: the sample is spread over the groups. With strata, each of them
    gets its share in the same way.

    Args:
        count: How many to choose, from 1 to n.
        size: Shape (n,), above 0. An answer's probability is proportional to it, at most 1.
        group: Shape (n,). Default: each answer by itself.
        stratum: Shape (n,). Default: one for all.
        seed: Of the order and of the first answer.

    Raises:
        ValueError: If the arrays do not match, a size is not positive, or the count lies outside 1
            to n.
    """
    sizes = numbers(size, "size")
    n = len(sizes)
    if sizes.ndim != 1 or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError("expected sizes of shape (n,), finite and above 0")
    if not 1 <= count <= n:
        raise ValueError(f"count must be from 1 to {n}, got {count}")
    unit = np.arange(n) if group is None else codes(group, "group", n)
    layer = np.zeros(n, dtype=np.int64) if stratum is None else codes(stratum, "stratum", n)
    inclusion = _inclusion(sizes, count)
    random = np.random.default_rng(seed)
    place = random.permutation(int(unit.max()) + 1)[unit]
    order = np.lexsort((random.random(n), place, layer))
    ends = np.cumsum(inclusion[order])
    ends[-1] = count  # but for rounding
    steps = np.floor(ends - random.random()).astype(np.int64)
    taken = np.diff(steps, prepend=np.int64(-1)) > 0
    return Chosen(order[taken], inclusion)


def _inclusion(size: Array, count: int) -> Array:
    """Probabilities that add up to ``count``; what would be above 1 is 1."""
    certain = np.zeros(len(size), dtype=bool)
    while True:
        rest = count - int(certain.sum())
        found = np.where(certain, 1.0, 0.0)
        if rest > 0:
            found[~certain] = size[~certain] * (rest / size[~certain].sum())
        over = (found > 1) & ~certain
        if not over.any():
            return np.minimum(found, 1.0)
        certain |= over
