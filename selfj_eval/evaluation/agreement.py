"""Agreement of scores with ratings: over all answers, in groups, between models, given length."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from selfj_eval import metrics
from selfj_eval.evaluation.columns import Columns, plain
from selfj_eval.metrics import Metric, RankingAgreement
from selfj_eval.metrics.bootstrap import bootstrap_of_counts
from selfj_eval.metrics.resampled import Counts
from selfj_eval.metrics.result import Array

_FEWEST_MODELS = 3


def correlation(data: Columns, confidence: float) -> dict[str, Any]:
    functions = (metrics.pearson, metrics.spearman, metrics.kendall_tau_b)
    return {f.__name__: plain(f(data.score, data.rating, confidence=confidence)) for f in functions}


def pairwise(data: Columns, bootstrapped: dict[str, Any]) -> dict[str, Any]:
    """Accuracy on pairs of answers: all pairs, and those to the same instruction."""
    result = {"all_pairs": plain(metrics.acc23(data.score, data.rating))}
    if data.group is None:
        missing = Metric(None, 0, "the instructions are not known")
        return result | dict.fromkeys(("same_instruction", "same_instruction_ties"), plain(missing))
    counts = metrics.pair_counts(data.score, data.rating, data.group)

    def statistic(drawn: Counts) -> Array:
        values = metrics.accuracy_of_counts((drawn @ counts)[None])
        return np.array([math.nan if m.value is None else m.value for m in values])

    options = bootstrapped | {"group": None}
    bounds = bootstrap_of_counts(statistic, len(counts), **options).intervals
    found = metrics.accuracy_of_counts(counts)
    names = ("same_instruction", "same_instruction_ties")
    return result | {
        name: plain(m._replace(interval=i)) for name, m, i in zip(names, found, bounds, strict=True)
    }


def by(data: Columns, name: str, confidence: float) -> dict[str, Any]:
    members: dict[str, list[int]] = {}
    for k, answer in enumerate(data.answers):
        key = getattr(answer, name)
        if key is not None:
            members.setdefault(key, []).append(k)
    result = {}
    for key in sorted(members):
        rows = np.array(members[key])
        score, rating = data.score[rows], data.rating[rows]
        numbers = metrics.headline(score, rating, data.good[rows], confidence=confidence)._asdict()
        result[key] = {
            "n": len(rows),
            "mean_score": float(score.mean()),
            "mean_rating": float(data.quality[rows].mean()),
            "good": float(data.good[rows].mean()),
        } | {metric: plain(value) for metric, value in numbers.items()}
    return result


def mean_over(groups: dict[str, Any]) -> dict[str, Any]:
    """The plain mean of the correlations over groups, ``n`` groups: what pooling mixes up."""
    result = {}
    for name in ("pearson", "spearman", "kendall_tau_b"):
        values = [g[name]["value"] for g in groups.values() if g[name]["value"] is not None]
        mean = Metric(float(np.mean(values)), len(values)) if values else None
        result[name] = plain(mean or Metric(None, 0, "no group has this correlation"))
    return result


def models(data: Columns, bootstrapped: dict[str, Any]) -> dict[str, Any] | None:
    """Agreement of the models' order by mean score with that by mean rating."""
    models = [a.model for a in data.answers]
    known = [m for m in models if m is not None]
    if len(known) < len(models) or len(set(known)) < _FEWEST_MODELS:
        return None
    names, code = np.unique(np.array(known), return_inverse=True)

    def agreement(drawn: Counts) -> RankingAgreement:
        answers, scores, ratings = (
            np.bincount(code, weights=drawn * x, minlength=len(names))
            for x in (1, data.score, data.rating)
        )
        present = np.flatnonzero(answers)
        return metrics.ranking_agreement(
            scores[present] / answers[present],
            ratings[present] / answers[present],
            names[present].tolist(),
        )

    def statistic(drawn: Counts) -> Array:
        return np.array([math.nan if m.value is None else m.value for m in agreement(drawn)])

    intervals = bootstrap_of_counts(statistic, len(code), **bootstrapped).intervals
    found = agreement(np.ones(len(code), dtype=np.int64))
    return {
        name: plain(m._replace(interval=i))
        for name, m, i in zip(found._fields, found, intervals, strict=True)
    }


def length(data: Columns, confidence: float) -> dict[str, Any]:
    if data.length is None or not len(data.length):
        missing = plain(Metric(None, len(data.answers), "the answers' texts are not known"))
        return dict.fromkeys(
            ("score_length", "rating_length", "score_rating_given_length"), missing
        )
    # Midranks: the logarithm of the length would give the same numbers.
    return {
        "score_length": plain(metrics.spearman(data.score, data.length, confidence=confidence)),
        "rating_length": plain(metrics.spearman(data.rating, data.length, confidence=confidence)),
        "score_rating_given_length": plain(
            metrics.partial_correlation(data.score, data.rating, data.length, confidence=confidence)
        ),
    }
