"""Predictions of ratings from several columns, for answers that the prediction has not seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from selfj_eval.metrics.calibration import FOLDS
from selfj_eval.metrics.result import Array

_PENALTIES = np.logspace(-2, 3, 11)


def cross_fitted_predictions(
    columns: Array, rating: Array, group: npt.NDArray[np.int64], *, seed: int = 0
) -> Array | None:
    """Ridge regression of the ratings, fitted in folds by group.

    A rated answer gets the prediction of the fit without its fold, any other answer the mean of all
    fits (cross-prediction, arXiv 2309.16598). Columns are standardised; the penalty is chosen by
    leave-one-out within each fit.

    Args:
        columns: Shape (n, q), finite.
        rating: Shape (n,); NaN where an answer is not rated.
        group: Shape (n,). Numbers of the instructions.
        seed: Of the folds.

    Returns:
        Shape (n,); None with fewer than ten rated groups, or where no column varies.
    """
    rated = ~np.isnan(rating)
    units = np.unique(group[rated])
    spread = columns.std(axis=0)
    if len(units) < 2 * FOLDS or not spread.any():
        return None
    used = columns[:, spread > 0]
    x = (used - used.mean(axis=0)) / spread[spread > 0]
    fold = np.full(len(rating), -1)
    deal = np.random.default_rng(seed).permutation(len(units)) % FOLDS
    fold[rated] = deal[np.searchsorted(units, group[rated])]
    found, all_fits = np.empty(len(rating)), np.zeros(len(rating))
    for k in range(FOLDS):
        others = rated & (fold != k)
        slopes, intercept = _ridge(x[others], rating[others])
        values = x @ slopes + intercept
        found[fold == k] = values[fold == k]
        all_fits += values / FOLDS
    found[~rated] = all_fits[~rated]
    return found


def _ridge(x: Array, y: Array) -> tuple[Array, float]:
    """Slopes and intercept, with the penalty of the smallest leave-one-out error.

    A residual divided by 1 - leverage is that of the fit without the row (Golub, Heath and Wahba
    1979). scikit-learn gives the same, but its import takes longer than a whole estimate.
    """
    centre, mean = x.mean(axis=0), y.mean()
    u, singular, v = np.linalg.svd(x - centre, full_matrices=False)
    along = u.T @ (y - mean)
    # A column for each penalty.
    kept = singular[:, None] ** 2 / (singular[:, None] ** 2 + _PENALTIES)
    residual = (y - mean)[:, None] - u @ (kept * along[:, None])
    left_out = residual / (1 - 1 / len(y) - u**2 @ kept)
    penalty = _PENALTIES[(left_out**2).mean(axis=0).argmin()]
    slopes = v.T @ (singular / (singular**2 + penalty) * along)
    return slopes, float(mean - centre @ slopes)
