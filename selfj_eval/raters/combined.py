"""Sums of raters, such as Self-J's self-evaluation + cosine."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from selfj_eval.arguments import items, numbers
from selfj_eval.errors import DataError
from selfj_eval.metrics.result import no_spread
from selfj_eval.records import Judgment

SCALES = ("z", "rank")


def combine(
    names: Iterable[str],
    parts: Iterable[Iterable[Judgment]],
    weights: Iterable[float],
    *,
    scale: str = "z",
) -> list[Judgment]:
    """The weighted sum of several raters' scores of the same records.

    Self-J adds the model's own evaluation and the similarity to the reference (arXiv 2409.00935,
    section 3, z = z1 + z2); how they come on one scale is not published. Here each is brought on
    one over all records that every rater has scored.

    Args:
        names: Of the raters, for messages.
        parts: Judgments of each, in the order of the records.
        weights: One a rater, not 0.
        scale: ``z``: minus the mean, divided by the standard deviation. ``rank``: the midrank over
            the number of records.

    Returns:
        One judgment a record: unscored where any rater has no score, or where one gives all
        records the same.

    Raises:
        DataError: If the scale is unknown.
        TypeError, ValueError: If names, judgments and weights are none, or do not match.
    """
    from scipy.stats import rankdata

    if scale not in SCALES:
        raise DataError(f"no scale {scale!r}; there are: {', '.join(SCALES)}.")
    names = items(names, str, "combine()")
    judged = [items(part, Judgment, "combine()") for part in parts]
    factors = numbers(weights, "weights").tolist()
    if not len(names) == len(judged) == len(factors):
        raise ValueError(
            f"{len(names)} names, {len(judged)} raters' judgments, {len(factors)} weights; give "
            "one of each per rater"
        )
    rows = list(zip(*judged, strict=True))
    whole = [at for at, row in enumerate(rows) if all(j.score is not None for j in row)]
    columns = [np.array([rows[at][k].score for at in whole], float) for k in range(len(names))]
    constant = None
    total: npt.NDArray[np.float64] = np.zeros(len(whole))
    for name, column, weight in zip(names, columns, factors, strict=True):
        if reason := no_spread(column, "scores"):
            constant = constant or f"{name} tells nothing apart: {reason}."
        elif scale == "z":
            total += weight * (column - column.mean()) / column.std()
        else:
            total += weight * rankdata(column) / len(column)
    sums = dict(zip(whole, total.tolist(), strict=True))
    judgments = []
    for at, row in enumerate(rows):
        failed = [(n, j.error) for n, j in zip(names, row, strict=True) if j.score is None]
        error = f"{failed[0][0]}: {failed[0][1]}" if failed else constant
        used = any(j.reference_used for j in row)
        trimmed = max(j.trimmed_tokens for j in row)
        score = None if error else sums[at]
        judgments.append(Judgment(row[0].id, score, None, None, error, used, trimmed))
    return judgments
