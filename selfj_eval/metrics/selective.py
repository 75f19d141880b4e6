"""How well scores tell good answers from bad ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from selfj_eval.metrics.result import Metric, paired


def auroc(score: npt.ArrayLike, good: npt.ArrayLike) -> Metric:
    """Area under the ROC curve of "the answer is good", in [0, 1]; 0.5 is chance.

    The probability that a good answer scores above a bad one, ties counted half.

    Args:
        score: Shape (n,), finite.
        good: Shape (n,), true or false.

    Returns:
        The area; undefined with its reason when all answers are good or all are bad.
    """
    from sklearn.metrics import roc_auc_score

    a, b = paired(score, np.asarray(good, dtype=bool))
    positives = int(b.sum())
    if positives in (0, len(b)):
        kind = "good" if positives else "bad"
        return Metric(None, len(b), f"all {len(b)} answers are {kind}")
    return Metric(float(roc_auc_score(b, a)), len(b))
