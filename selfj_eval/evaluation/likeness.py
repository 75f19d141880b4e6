"""Whether the rated answers are like the others."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from selfj_eval.evaluation.estimation import Likeness
from selfj_eval.evaluation.partly_rated import PartlyRated
from selfj_eval.metrics.clusters import clustered_variance
from selfj_eval.metrics.result import Array


def likeness_of(data: PartlyRated) -> list[Likeness]:
    """Tests on score and length; none where all are rated, or by design not alike."""
    if data.inclusion is not None or data.rated.all():
        return []
    rated = data.rated
    values = {"score": data.score}
    if all(a.response is not None for a in data.answers):
        values["length"] = np.array([len(a.response or "") for a in data.answers], dtype=float)
    return [
        Likeness(
            name,
            float(value[rated].mean()),
            float(value[~rated].mean()),
            _p_value(np.log1p(value) if name == "length" else value, rated, data.unit),
        )
        for name, value in values.items()
    ]


def _p_value(
    value: Array, rated: npt.NDArray[np.bool_], unit: npt.NDArray[np.int64]
) -> float | None:
    """Of the covariance of value and being rated, clustered, by Student's t."""
    from scipy.stats import t

    product = (rated - rated.mean()) * (value - value.mean())
    units = len(np.unique(unit))
    error = math.sqrt(clustered_variance(product, unit)) if units > 1 else 0.0
    if error == 0:
        return None
    return float(2 * t.sf(abs(product.sum()) / error, units - 1))
