"""Selective instruction following: accept the answers with the highest scores.

A *loss* in [0, 1] says how bad an answer is: 1 - good for a good-or-bad view, or graded. Answers
with equal scores are accepted together, so that nothing depends on the order of records.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.jobs.arguments import Numbers
from selfj_eval.metrics.result import Array, Metric, paired


class RiskCoverage(NamedTuple):
    """The risk-coverage curve: one operating point for each distinct score, strictest first.

    Attributes:
        threshold: Shape (k,). Accept the answers that score at least this; decreasing.
        accepted: Shape (k,). How many answers that are, from the first group to all n.
        loss: Shape (k,). Sum of their losses.
        n: Number of answers.
        oracle: Shape (n,). All losses in increasing order: how a perfect score would rank them.
    """

    threshold: Array
    accepted: npt.NDArray[np.int64]
    loss: Array
    n: int
    oracle: Array

    @property
    def coverage(self) -> Array:
        """Shape (k,). Share of answers accepted, in (0, 1]."""
        return self.accepted / max(self.n, 1)

    @property
    def risk(self) -> Array:
        """Shape (k,). Selective risk: mean loss of the accepted answers, in [0, 1]."""
        return self.loss / self.accepted


def risk_coverage(score: Numbers, loss: Numbers) -> RiskCoverage:
    """The risk-coverage curve of scores (El-Yaniv and Wiener 2010, JMLR 11).

    Args:
        score: Shape (n,), finite; higher is better.
        loss: Shape (n,), in [0, 1]; a bad answer has 1. Booleans are allowed.

    Raises:
        ValueError: If a loss lies outside [0, 1], or the arrays do not match.
    """
    a, b = paired(score, loss)
    if len(b) and (b.min() < 0 or b.max() > 1):
        raise ValueError(f"losses must lie in [0, 1], got {b.min():g} to {b.max():g}")
    order = np.argsort(-a)
    ranked = a[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(a) else order
    oracle = np.sort(b)
    return RiskCoverage(ranked[ends], ends + 1, np.cumsum(b[order])[ends], len(a), oracle)


def auroc(curve: RiskCoverage) -> Metric:
    """Area under the ROC curve of "the answer is good", in [0, 1]; 0.5 is chance.

    The probability that a good answer scores above a bad one, ties counted half.

    Args:
        curve: Of losses that are 0 (good) or 1 (bad).

    Returns:
        The area; undefined with its reason when all answers are good or all are bad.
    """
    bad = _total(curve)
    good = curve.n - bad
    if reason := _one_kind(curve):
        return Metric(None, curve.n, reason)
    bad_share = np.append(0.0, curve.loss) / bad
    good_share = np.append(0.0, curve.accepted - curve.loss) / good
    return Metric(float(np.trapezoid(good_share, bad_share)), curve.n)


def augrc(curve: RiskCoverage) -> Metric:
    """Area under the generalized risk-coverage curve, in [0, 1/2]; lower is better.

    Generalized risk is the loss of the accepted over all n answers: the risk of a bad answer
    that goes out undetected, averaged over coverages (Traub et al. 2024, arXiv 2407.01032). With
    accuracy a it equals ``(1 - AUROC) a (1 - a) + (1 - a)^2 / 2``.
    """
    if not curve.n:
        return Metric(None, 0, "no scored records")
    coverage, risk = np.append(0.0, curve.coverage), np.append(0.0, curve.loss / curve.n)
    return Metric(float(np.trapezoid(risk, coverage)), curve.n)


def aurc(curve: RiskCoverage) -> Metric:
    """Area under the risk-coverage curve, in [0, 1]; lower is better (Geifman et al. 2019).

    The mean of the selective risks at coverages 1/n, 2/n, ..., 1, where answers with equal
    scores count with their expectation over all their orders. Implementations differ: a
    trapezoid over distinct scores, the order of the rows within ties, other normalisations.
    This one depends on no order, and equals the mean over coverages where there are no ties.
    """
    if not curve.n:
        return Metric(None, 0, "no scored records")
    return Metric(_aurc(curve), curve.n)


def excess_aurc(curve: RiskCoverage) -> Metric:
    """E-AURC: ``aurc`` minus that of a perfect ranking of the same losses, at least 0."""
    if not curve.n:
        return Metric(None, 0, "no scored records")
    return Metric(max(0.0, _aurc(curve) - _oracle_aurc(curve)), curve.n)


def prr(curve: RiskCoverage) -> Metric:
    """Prediction rejection ratio, at most 1 (Malinin et al. 2017; Vashurin et al. 2025).

    ``(random - aurc) / (random - oracle)``: 1 ranks the losses perfectly, 0 as chance does,
    below 0 worse. The AURC of a random order is the mean loss. For good-or-bad and for graded
    losses; it does not change when losses are shifted or scaled.
    """
    if not curve.n:
        return Metric(None, 0, "no scored records")
    if curve.oracle[0] == curve.oracle[-1]:
        return Metric(None, curve.n, _one_kind(curve) or f"all {curve.n} losses are equal")
    random = _total(curve) / curve.n
    return Metric((random - _aurc(curve)) / (random - _oracle_aurc(curve)), curve.n)


def coverage_at_risk(curve: RiskCoverage, risk: float) -> Metric:
    """Largest coverage whose selective risk on these records is at most ``risk``; 0 if none is.

    This looks at the records themselves and promises nothing about others: see
    ``selfj_eval.metrics.guarantee``.
    """
    if not curve.n:
        return Metric(None, 0, "no scored records")
    fits = np.flatnonzero(curve.risk <= risk + 1e-12)
    return Metric(float(curve.coverage[fits[-1]]) if len(fits) else 0.0, curve.n)


def accuracy_at_coverage(curve: RiskCoverage, coverage: float) -> Metric:
    """Selective accuracy (1 - risk) of the strictest threshold that accepts this share.

    Args:
        curve: The curve.
        coverage: Share of the answers to accept, in (0, 1].
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must lie in (0, 1], got {coverage}")
    if not curve.n:
        return Metric(None, 0, "no scored records")
    point = int(np.searchsorted(curve.accepted, coverage * curve.n - 1e-9))
    return Metric(1 - float(curve.risk[point]), int(curve.accepted[point]))


def _total(curve: RiskCoverage) -> float:
    return float(curve.loss[-1]) if curve.n else 0.0


def _one_kind(curve: RiskCoverage) -> str | None:
    if not curve.n:
        return "no scored records"
    bad = _total(curve)
    if bad in (0.0, curve.n):
        return f"all {curve.n} answers are {'bad' if bad else 'good'}"
    return None


def _aurc(curve: RiskCoverage) -> float:
    k = np.arange(1, curve.n + 1)
    loss = np.interp(k, np.append(0, curve.accepted), np.append(0.0, curve.loss))
    return float((loss / k).mean())


def _oracle_aurc(curve: RiskCoverage) -> float:
    return float((np.cumsum(curve.oracle) / np.arange(1, curve.n + 1)).mean())
