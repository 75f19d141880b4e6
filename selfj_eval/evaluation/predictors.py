"""What predicts the ratings of answers that nobody rated."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from selfj_eval.evaluation.partly_rated import PartlyRated
from selfj_eval.judging.distributions import Distribution
from selfj_eval.metrics.cross_fitting import cross_fitted_predictions
from selfj_eval.metrics.result import Array

PREDICTORS = ("auto", "score", "all")
ENOUGH = 100
"""Ratings from which several columns predict the others, if they do it better than the score."""
_LEVELS = 20
"""A model or a category with so many values or more is no predictor."""


Distributions = Mapping[str, Distribution | None]
"""By the answer's id, the judge's probabilities of its labels."""


def predicted(
    data: PartlyRated, predictors: str, distributions: Callable[[], Distributions]
) -> tuple[Array, list[str]]:
    """A prediction for every answer, on any scale, shape (n,), and what it is made of.

    Args:
        data: The answers.
        predictors: One of ``PREDICTORS``.
        distributions: Called only if several columns are tried.
    """
    labels = int(data.rated.sum())
    if predictors == "score" or (predictors == "auto" and labels < ENOUGH):
        return data.score, ["score"]
    names, columns = _features(data, distributions())
    fitted = from_columns(columns, data.rating, data.unit, predictors)
    return (data.score, ["score"]) if fitted is None else (fitted, names)


def from_columns(
    columns: Array, rating: Array, unit: npt.NDArray[np.int64], predictors: str
) -> Array | None:
    """Cross-fitted predictions, shape (n,); None where the score alone is better.

    Args:
        columns: Shape (n, q); the first one is the score.
        rating: Shape (n,); NaN where an answer is not rated.
        unit: Shape (n,). Numbers of the instructions.
        predictors: ``all`` or ``auto``: only if they predict better than the score.
    """
    fitted = cross_fitted_predictions(columns, rating, unit)
    if fitted is None or predictors == "all":
        return fitted
    if _correlation(fitted, rating) <= 0:  # so do useless columns, for a fold left out
        return None
    gain = _explained(fitted, rating) - _explained(columns[:, 0], rating)
    by_chance = 1 / ((~np.isnan(rating)).sum() - 2)  # what a useless column seems to explain
    return fitted if gain > by_chance else None


def _features(data: PartlyRated, distributions: Distributions) -> tuple[list[str], Array]:
    names, columns = ["score"], [data.score]
    known = [d for a in data.answers if (d := distributions.get(a.id)) is not None]
    if len(known) == len(data.answers) and len({len(d) for d in known}) == 1:
        names.append("distribution")
        columns += list(np.array(known)[:, 1:].T)  # the first is what the others leave
    lengths = [a.response for a in data.answers]
    if all(text is not None for text in lengths):
        names.append("log length")
        columns.append(np.log1p([len(text or "") for text in lengths]))
    for name in ("model", "category"):
        values = [getattr(a, name) for a in data.answers]
        levels = sorted({v for v in values if v is not None})
        if None not in values and 1 < len(levels) < _LEVELS:
            names.append(name)
            columns += [np.array([float(v == level) for v in values]) for level in levels[1:]]
    return names, np.column_stack(columns)


def _explained(prediction: Array, rating: Array) -> float:
    """Squared correlation on the rated answers."""
    return _correlation(prediction, rating) ** 2


def _correlation(prediction: Array, rating: Array) -> float:
    """On the rated answers; 0 where one of them does not vary."""
    rated = ~np.isnan(rating)
    f, y = prediction[rated], rating[rated]
    spread = f.std() * y.std()
    return 0.0 if spread == 0 else float((f - f.mean()) @ (y - y.mean()) / len(y) / spread)
