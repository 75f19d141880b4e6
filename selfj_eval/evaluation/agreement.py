"""Agreement of scores with ratings: over all answers, in groups, between models, given length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval import metrics
from selfj_eval.evaluation.columns import Columns
from selfj_eval.evaluation.result import Correlation, Group, Length, ModelOrder, Pairwise
from selfj_eval.metrics import Interval, Metric, RankingAgreement
from selfj_eval.metrics.bootstrap import CountStatistic, bootstrap_of_counts
from selfj_eval.metrics.pair_order import Counts
from selfj_eval.metrics.result import Array
from selfj_eval.metrics.within import Name, mean_of_parts

_FEWEST_MODELS = 3


class Drawing(NamedTuple):
    """How intervals are bootstrapped."""

    resamples: int
    confidence: float
    seed: int

    def intervals(
        self, statistic: CountStatistic, n: int, *, group: npt.NDArray[np.int64] | None
    ) -> tuple[Interval | None, ...]:
        """Of what a statistic gives on n records, or on their groups."""
        return bootstrap_of_counts(statistic, n, group=group, **self._asdict()).intervals


def correlation(data: Columns, confidence: float) -> Correlation:
    """Over all answers, with analytic intervals."""
    given = _given(data, confidence)
    functions = (metrics.pearson, metrics.spearman, metrics.kendall_tau_b)
    return Correlation(*(f(data.score, data.rating, **given) for f in functions))


def pairwise(data: Columns, drawing: Drawing) -> Pairwise:
    """Accuracy on pairs of answers: all pairs, and those to the same instruction."""
    everything = metrics.acc23(data.score, data.rating)
    if data.group is None:
        missing = Metric(None, 0, "the instructions are not known")
        return Pairwise(everything, missing, missing, missing, None)
    counts = metrics.pair_counts(data.score, data.rating, data.group)
    near = metrics.calibrated_ties(data.score, data.rating, data.group)

    def statistic(drawn: Counts) -> Array:
        values = metrics.accuracy_of_counts((drawn @ counts)[None])
        right, pairs = drawn @ near.counts
        calibrated = right / pairs if pairs else math.nan
        return np.array([*(math.nan if m.value is None else m.value for m in values), calibrated])

    bounds = drawing.intervals(statistic, len(counts), group=None)
    one, ties = metrics.accuracy_of_counts(counts)
    calibrated = near.accuracy
    if calibrated.value is not None:
        calibrated = calibrated._replace(interval=bounds[2])
    return Pairwise(
        everything,
        one._replace(interval=bounds[0]),
        ties._replace(interval=bounds[1]),
        calibrated,
        near.epsilon,
    )


def by(data: Columns, name: str, confidence: float) -> dict[str, Group]:
    """The headline metrics of each category or model, with analytic intervals."""
    result = {}
    for key, rows in sorted(_members(data, name).items()):
        given = _given(data, confidence, rows)
        good = data.good[rows]
        result[key] = Group(
            len(rows),
            metrics.mean(data.score[rows], **given),
            metrics.mean(data.quality[rows], **given),
            metrics.proportion(good, **given),
            metrics.headline(data.score[rows], data.rating[rows], good, **given),
        )
    return result


def mean_over(
    data: Columns, name: str, groups: Mapping[str, Group], confidence: float
) -> Correlation:
    """The plain mean of the correlations over categories or models: what pooling mixes up.

    Args:
        data: The answers.
        name: ``category`` or ``model``.
        groups: What ``by`` found of each.
        confidence: Level of the intervals.
    """
    members = _members(data, name)
    rows = np.concatenate([np.empty(0, dtype=np.int64), *members.values()])
    ends = np.cumsum([len(own) for own in members.values()], dtype=np.int64)
    parts = np.split(np.arange(len(rows)), ends)[:-1]
    given = _given(data, confidence, rows)

    def mean(which: Name) -> Metric:
        found = [getattr(groups[key].headline, which) for key in members]
        return mean_of_parts(found, which, data.score[rows], data.rating[rows], parts, **given)

    return Correlation(mean("pearson"), mean("spearman"), mean("kendall_tau_b"))


def _given(
    data: Columns, confidence: float, rows: npt.NDArray[np.int64] | slice = slice(None)
) -> dict[str, Any]:
    """What functions with analytic intervals take beside the columns."""
    return {"group": None if data.group is None else data.group[rows], "confidence": confidence}


def _members(data: Columns, name: str) -> dict[str, npt.NDArray[np.int64]]:
    """The rows of each category or model; answers that name none are skipped."""
    found: dict[str, list[int]] = {}
    for row, answer in enumerate(data.answers):
        key = getattr(answer, name)
        if key is not None:
            found.setdefault(key, []).append(row)
    return {key: np.array(rows) for key, rows in found.items()}


def models(data: Columns, drawing: Drawing) -> ModelOrder | None:
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

    intervals = drawing.intervals(statistic, len(code), group=data.group)
    found = agreement(np.ones(len(code), dtype=np.int64))
    soft = Metric(None, 0, "the instructions are not known")
    if data.group is not None:
        soft = metrics.soft_pairwise_accuracy(
            data.score, data.rating, code, data.group, seed=drawing.seed
        )
    rho, tau, overlap = (m._replace(interval=i) for m, i in zip(found, intervals, strict=True))
    return ModelOrder(rho, tau, overlap, soft)


def length(data: Columns, confidence: float) -> Length:
    """Correlations with the length of the answers."""
    if data.length is None or not len(data.length):
        missing = Metric(None, len(data.answers), "the answers' texts are not known")
        return Length(missing, missing, missing)
    score, rating, characters = data.score, data.rating, data.length
    given = _given(data, confidence)
    # Midranks: the logarithm of the length would give the same numbers.
    return Length(
        metrics.spearman(score, characters, **given),
        metrics.spearman(rating, characters, **given),
        metrics.partial_correlation(score, rating, characters, **given),
    )
