"""Variances of estimates on records that come in groups, such as the answers to one instruction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, codes
from selfj_eval.metrics.result import Array


def clustered_variance(influence: Array, unit: npt.NDArray[np.int64]) -> float:
    """Variance of an estimate that each record adds a part to.

    Records of a group have errors in common, so their parts are summed, and the sums of the g
    groups are taken as independent (Miller 2024, arXiv 2411.00640, with the factor g / (g - 1)).

    Args:
        influence: Shape (n,). What each record adds, such as ``(x - mean) / n`` to a mean.
        unit: Shape (n,). Number of each record's group; at least two differ.
    """
    sums = np.bincount(unit, weights=influence)
    groups = np.count_nonzero(np.bincount(unit))
    return groups / (groups - 1) * float(sums @ sums)


def several_of_one(group: Numbers | None, n: int) -> npt.NDArray[np.int64] | None:
    """Numbers of the groups, 0, 1, ..., shape (n,); None where each record is a group by itself."""
    if group is None:
        return None
    unit = codes(group, "group", n)
    return None if int(unit.max(initial=-1)) + 1 == n else unit
