"""What scores are worth for accepting answers: risk, calibration, scores by rating."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from selfj_eval import metrics
from selfj_eval.evaluation.columns import Columns, plain
from selfj_eval.metrics import Metric
from selfj_eval.scale import MAX_SCORE

COVERAGES = (0.1, 0.25, 0.5, 0.75, 0.9)
RISKS = (0.05, 0.1, 0.2, 0.3)
CURVE_POINTS = 200


def selective(data: Columns) -> dict[str, Any]:
    curve = metrics.risk_coverage(data.score, ~data.good)
    chosen = _thinned(len(curve.accepted))
    result: dict[str, Any] = {
        "excess_aurc": plain(metrics.excess_aurc(curve)),
        "accuracy_at_coverage": {
            f"{c:g}": plain(metrics.accuracy_at_coverage(curve, c)) for c in COVERAGES
        },
        "coverage_at_risk": {f"{r:g}": plain(metrics.coverage_at_risk(curve, r)) for r in RISKS},
        "curve": {
            "threshold": curve.threshold[chosen].tolist(),
            "coverage": curve.coverage[chosen].tolist(),
            "risk": curve.risk[chosen].tolist(),
        },
        "graded": None,
    }
    if data.scaled:
        graded = metrics.risk_coverage(data.score, np.clip(1 - data.quality / MAX_SCORE, 0, 1))
        names = (metrics.augrc, metrics.aurc, metrics.excess_aurc, metrics.prr)
        result["graded"] = {f.__name__: plain(f(graded)) for f in names}
    return result


def _thinned(n: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, CURVE_POINTS)).round().astype(int))


def calibration(data: Columns) -> dict[str, Any]:
    score, good = data.score, data.good
    raw_reason = metrics.score_ece(score, good).undefined
    fitted = {
        "raw": None if raw_reason else score / MAX_SCORE,
        "isotonic": metrics.cross_fitted(score, good, "isotonic", group=data.group),
        "platt": metrics.cross_fitted(score, good, "platt", group=data.group),
    }
    result: dict[str, Any] = {}
    for name, probability in fitted.items():
        if probability is None or not len(probability):
            reason = raw_reason if name == "raw" else f"only {len(score)} answers to calibrate on"
            names = ("ece", "brier", "log_loss")
            missing = plain(Metric(None, len(score), reason or "no scored records"))
            result[name] = dict.fromkeys(names, missing) | {"bins": None}
            continue
        table = metrics.reliability(probability, good)
        functions = (metrics.ece, metrics.brier, metrics.log_loss)
        result[name] = {f.__name__: plain(f(probability, good)) for f in functions} | {
            "bins": {field: values.tolist() for field, values in table._asdict().items()}
        }
    return result


def distribution(data: Columns) -> list[dict[str, Any]]:
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
        row = {"rating": labels[k], "n": len(part), "mean": float(part.mean())}
        result.append(row | {"quantiles": quantiles})
    return result
