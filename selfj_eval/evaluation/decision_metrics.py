"""What scores are worth for accepting answers: risk, calibration, scores by rating."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from selfj_eval import metrics
from selfj_eval.errors import counted
from selfj_eval.evaluation.agreement import Drawing
from selfj_eval.evaluation.columns import Columns
from selfj_eval.evaluation.result import Calibration, Curve, Fit, Graded, ScoresAtRating, Selective
from selfj_eval.metrics import Metric
from selfj_eval.metrics.result import Array
from selfj_eval.prompts.labels import MAX_SCORE

COVERAGES = (0.1, 0.25, 0.5, 0.75, 0.9)
RISKS = (0.05, 0.1, 0.2, 0.3)
CURVE_POINTS = 200


def selective(data: Columns, drawing: Drawing) -> Selective:
    """Risk and coverage."""
    curve = metrics.risk_coverage(data.score, ~data.good)
    chosen = _thinned(len(curve.accepted))
    graded = None
    if data.scaled:
        loss = metrics.risk_coverage(data.score, np.clip(1 - data.quality / MAX_SCORE, 0, 1))
        functions = (metrics.augrc, metrics.aurc, metrics.excess_aurc, metrics.prr)
        graded = Graded(*(f(loss) for f in functions))
    return Selective(
        metrics.excess_aurc(curve),
        {f"{c:g}": metrics.accuracy_at_coverage(curve, c) for c in COVERAGES},
        {f"{r:g}": metrics.coverage_at_risk(curve, r) for r in RISKS},
        Curve(*(x[chosen].tolist() for x in (curve.threshold, curve.coverage, curve.risk))),
        metrics.risk_band(data.score, ~data.good, group=data.group, **drawing._asdict()),
        graded,
    )


def _thinned(n: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, CURVE_POINTS)).round().astype(int))


def calibration(data: Columns) -> Calibration:
    """The score as a probability that the answer is good."""
    score, good = data.score, data.good
    reason = metrics.score_ece(score, good).undefined
    few = f"only {counted(len(score), 'answer')} to calibrate on"
    return Calibration(
        _fit(None if reason else score / MAX_SCORE, data, reason or "no scored records"),
        _fit(metrics.cross_fitted(score, good, "isotonic", group=data.group), data, few),
        _fit(metrics.cross_fitted(score, good, "platt", group=data.group), data, few),
    )


def _fit(probability: Array | None, data: Columns, reason: str) -> Fit:
    if probability is None or not len(probability):
        missing = Metric(None, len(data.score), reason)
        return Fit(missing, missing, missing, None)
    functions = (metrics.ece, metrics.brier, metrics.log_loss)
    ece, brier, log_loss = (f(probability, data.good) for f in functions)
    return Fit(ece, brier, log_loss, metrics.reliability(probability, data.good))


def distribution(data: Columns) -> list[ScoresAtRating]:
    """Quantiles of the score by rating: each level, or ten bins when there are more than 12."""
    if not len(data.rating):
        return []
    levels, code = np.unique(data.rating, return_inverse=True)
    labels = [f"{level:g}" for level in levels]
    if len(levels) > 12:
        edges = np.linspace(levels[0], levels[-1], 11)
        code = np.clip(np.digitize(data.rating, edges[1:-1], right=True), 0, 9)
        labels = [f"{a:.3g} to {b:.3g}" for a, b in pairwise(edges)]
    result = []
    for k in np.unique(code):
        part = data.score[code == k]
        quantiles = np.quantile(part, (0.05, 0.25, 0.5, 0.75, 0.95)).tolist()
        result.append(ScoresAtRating(labels[k], len(part), float(part.mean()), quantiles))
    return result
