"""The nine numbers that stand for a judge on one set of rated answers."""

from __future__ import annotations

from typing import NamedTuple

from selfj_eval.jobs.arguments import Numbers, truths
from selfj_eval.metrics import calibration, correlation, influence, selective
from selfj_eval.metrics.result import Metric, paired
from selfj_eval.prompts.labels import MAX_SCORE, MIN_SCORE

GOOD_AT = 6.0
"""Default of the lowest good rating on 0..9: 7 of 1..10, 4 of 1..5."""


class Headline(NamedTuple):
    """All headline metrics of the same records.

    Attributes:
        pearson, spearman, kendall_tau_b: Correlation of score and rating, in [-1, 1].
        acc23: Pairwise accuracy with ties, in [0, 1].
        auroc: Of "the answer is good", in [0, 1].
        augrc: Area under the generalized risk-coverage curve, in [0, 1/2]; lower is better.
        aurc: Area under the risk-coverage curve, in [0, 1]; lower is better.
        prr: Prediction rejection ratio, at most 1.
        ece: Expected calibration error of score / 9 as the probability that the answer is good,
            ten bins, in [0, 1]; lower is better.
    """

    pearson: Metric
    spearman: Metric
    kendall_tau_b: Metric
    acc23: Metric
    auroc: Metric
    augrc: Metric
    aurc: Metric
    prr: Metric
    ece: Metric


LABELS = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "kendall_tau_b": "Kendall tau-b",
    "acc23": "pairwise accuracy (acc23)",
    "auroc": "AUROC of good",
    "augrc": "AUGRC",
    "aurc": "AURC",
    "prr": "PRR",
    "ece": "ECE of score / 9",
}
LOWER_IS_BETTER = frozenset({"augrc", "aurc", "ece"})


def headline(
    score: Numbers,
    rating: Numbers,
    good: Numbers,
    *,
    group: Numbers | None = None,
    confidence: float = 0.95,
) -> Headline:
    """All headline metrics.

    Args:
        score: Shape (n,), finite; 0..9, or ``ece`` is undefined.
        rating: Shape (n,), finite, on any scale.
        good: Shape (n,), true or false: whether the rating is a good one.
        group: Shape (n,). Records that belong together, for the intervals of the correlations; as
            for ``pearson``.
        confidence: Level of the correlations' analytic intervals, in (0, 1).
    """
    a, b = paired(score, rating)
    a, y = paired(a, truths(good, "good"))
    pairs = correlation.Concordance.of(a, b)
    curve = selective.risk_coverage(a, 1 - y)
    return Headline(
        correlation.pearson(a, b, group=group, confidence=confidence),
        correlation.spearman(a, b, group=group, confidence=confidence),
        correlation.in_groups(
            pairs.tau_b(confidence), influence.of_kendall_tau_b, (a, b), group, confidence
        ),
        pairs.acc23(),
        selective.auroc(curve),
        selective.augrc(curve),
        selective.aurc(curve),
        selective.prr(curve),
        score_ece(a, y),
    )


def score_ece(score: Numbers, good: Numbers, *, bins: int = 10) -> Metric:
    """ECE of score / 9; undefined with its reason when a score lies outside 0..9."""
    a, y = paired(score, truths(good, "good"))
    if len(a) and (a.min() < MIN_SCORE or a.max() > MAX_SCORE):
        return Metric(None, len(a), f"scores from {a.min():g} to {a.max():g} are not on 0..9")
    return calibration.ece(a / MAX_SCORE, y, bins=bins)
