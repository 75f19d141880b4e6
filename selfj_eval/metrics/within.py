"""Correlations within parts of the records, such as the answers of each model, and their mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, codes
from selfj_eval.metrics import correlation, influence
from selfj_eval.metrics.result import Array, Metric, paired

FEWEST = 10
"""Records of a part; with fewer, its correlation looks more certain than it is."""
Name = Literal["pearson", "spearman", "kendall_tau_b"]
_CORRELATIONS: Mapping[Name, tuple[Callable[..., Metric], Callable[[Array, Array], Array]]] = (
    MappingProxyType(
        {
            "pearson": (correlation.pearson, influence.of_pearson),
            "spearman": (correlation.spearman, influence.of_spearman),
            "kendall_tau_b": (correlation.kendall_tau_b, influence.of_kendall_tau_b),
        }
    )
)


def mean_within(
    name: Name,
    score: Numbers,
    rating: Numbers,
    part: Numbers,
    *,
    group: Numbers | None = None,
    confidence: float = 0.95,
) -> Metric:
    """The plain mean of a correlation over parts of the records, in [-1, 1].

    A correlation over the answers of several models contains the differences between the models;
    this one does not. The interval is that of ``pearson`` for records in groups: what a record adds
    to the correlation of its part counts 1 / (number of parts), and groups may span parts.

    Args:
        name: Which correlation.
        score, rating: Shape (n,), finite.
        part: Shape (n,). The part of each record, such as the model.
        group: Shape (n,). Records that belong together, such as answers to one instruction.
            Default: each by itself.
        confidence: Level of the interval, in (0, 1).

    Returns:
        The mean over those parts that have the correlation; ``n`` is how many. Undefined where none
        has it. No interval where a part that has it holds fewer than ten records.
    """
    a, b = paired(score, rating)
    of_part = codes(part, "part", len(a))
    order = np.argsort(of_part, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(of_part))[:-1])
    function, _ = _CORRELATIONS[name]
    found = [function(a[own], b[own]) for own in rows]
    return mean_of_parts(found, name, a, b, rows, group=group, confidence=confidence)


def mean_of_parts(
    found: Sequence[Metric],
    name: Name,
    score: Numbers,
    rating: Numbers,
    rows: Sequence[npt.NDArray[np.intp]],
    *,
    group: Numbers | None = None,
    confidence: float = 0.95,
) -> Metric:
    """What ``mean_within`` gives, where the correlation of each part is known already.

    Args:
        found: The correlation of each part.
        name: Which correlation it is.
        score, rating: Shape (n,), finite.
        rows: The records of each part, in the order of ``found``.
        group, confidence: As for ``mean_within``.
    """
    a, b = paired(score, rating)
    unit = np.arange(len(a)) if group is None else codes(group, "group", len(a))
    _, parts_of = _CORRELATIONS[name]
    known = [(m.value, own) for m, own in zip(found, rows, strict=True) if m.value is not None]
    if not known:
        return Metric(None, 0, "no group has this correlation")
    value = float(np.mean([own for own, _ in known]))
    if min(len(own) for _, own in known) < FEWEST:
        return Metric(value, len(known))
    parts, used = np.zeros(len(a)), np.zeros(len(a), dtype=bool)
    for _, own in known:
        used[own] = True
        parts[own] = parts_of(a[own], b[own])
    interval = correlation.clustered_interval(
        value, parts[used] / len(known), unit[used], confidence
    )
    return Metric(value, len(known), interval=interval)
