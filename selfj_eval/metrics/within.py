"""Correlations within parts of the records, such as the answers of each model, and their mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

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
    unit = np.arange(len(a)) if group is None else codes(group, "group", len(a))
    function, parts_of = _CORRELATIONS[name]
    parts, used, values = np.zeros(len(a)), np.zeros(len(a), dtype=bool), list[float]()
    order = np.argsort(of_part, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(of_part))[:-1]):
        value = function(a[rows], b[rows]).value
        if value is not None:
            values.append(value)
            used[rows] = True
            parts[rows] = parts_of(a[rows], b[rows])
    if not values:
        return Metric(None, 0, "no group has this correlation")
    value = float(np.mean(values))
    if np.bincount(of_part[used])[np.unique(of_part[used])].min() < FEWEST:
        return Metric(value, len(values))
    interval = correlation.clustered_interval(
        value, parts[used] / len(values), unit[used], confidence
    )
    return Metric(value, len(values), interval=interval)
