"""From which score on an answer is judged good: a score made a verdict."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers, numbers, truths
from selfj_eval.metrics.calibration import cross_fit
from selfj_eval.metrics.result import Array
from selfj_eval.metrics.selective import risk_coverage


class ScoreCut(NamedTuple):
    """Calls answers good that score at least ``at``."""

    at: float

    def __call__(self, score: Numbers) -> npt.NDArray[np.bool_]:
        """Verdicts on scores of any shape."""
        verdict: npt.NDArray[np.bool_] = numbers(score, "score") >= self.at
        return verdict


def best_cut(score: Numbers, good: Numbers) -> ScoreCut:
    """The cut with the highest balanced accuracy, (TPR + TNR) / 2; of several the highest score.

    Args:
        score: Shape (n,), finite; at least one.
        good: Shape (n,), true or false.
    """
    curve = risk_coverage(score, ~truths(good, "good"))
    if not curve.n:
        raise ValueError("no scored records to choose a cut on")
    bad = float(curve.loss[-1])
    hits = (curve.accepted - curve.loss) / max(curve.n - bad, 1)
    gain = hits - curve.loss / max(bad, 1)
    best = np.flatnonzero(gain >= gain.max() - 1e-12)[0]  # strictest first
    return ScoreCut(float(curve.threshold[best]))


def cross_fitted_verdicts(
    score: Numbers, good: Numbers, *, group: Numbers | None = None
) -> npt.NDArray[np.bool_] | None:
    """Verdicts on answers, each by ``best_cut`` of the other folds: none helps to judge itself.

    Args:
        score: Shape (n,), finite.
        good: Shape (n,), true or false.
        group: Shape (n,). Answers that belong together are in one fold.

    Returns:
        Shape (n,); None when there are fewer than 10 answers or groups.
    """

    def fit(scores: Array, truth: Array) -> ScoreCut:
        return best_cut(scores, truth)

    found = cross_fit(score, good, fit, group=group)
    return None if found is None else found.astype(bool)
