"""Answering models compared on the instructions that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from selfj_eval.errors import DataError
from selfj_eval.evaluation.model_comparison import ModelComparison, ModelPair
from selfj_eval.judging.scored import Scored, Scores, distinct_names
from selfj_eval.metrics.paired_means import benjamini_hochberg, holm, paired_difference

MOST_MODELS = 40
_FEW = 30


def compared_models(scores: Sequence[Scores], by: str, confidence: float) -> ModelComparison:
    """Compare the models of a file, or the model of one file with that of another.

    Args:
        scores: One file with several models, or two files whose answers are by one model each.
        by: ``score`` or ``rating``.
        confidence: Level of the intervals.

    Raises:
        DataError: If there are fewer than two models or more than 40, or the instructions are
            unknown.
    """
    answers = sorted(_named(scores), key=lambda a: a.id)  # nothing depends on the file's order
    path = scores[0].path
    values: dict[str, dict[str, list[float]]] = {}
    missing = 0
    for a in answers:
        value = a.score if by == "score" else a.quality
        if value is None:
            missing += 1
        elif a.question is None:
            message = f"{a.id!r} has no instruction, and models are compared by instruction."
            raise DataError(message, path=path, field="instruction")
        elif a.model is not None:
            values.setdefault(a.model, {}).setdefault(a.question, []).append(value)
    if not 2 <= len(values) <= MOST_MODELS:
        names = ", ".join(sorted(values)[:5]) or "none"
        raise DataError(
            f"has answers with a {by} by {len(values)} models ({names}); a comparison takes 2 to "
            f"{MOST_MODELS}. Name the models in the field `model`, or give a file per model.",
            path=path,
            field="model",
        )
    means = {n: float(np.mean([v for own in qs.values() for v in own])) for n, qs in values.items()}
    means = dict(sorted(means.items(), key=lambda item: (-item[1], item[0])))
    found = []
    for one, two in combinations(means, 2):
        shared = sorted(values[one].keys() & values[two].keys())
        sides = [[float(np.mean(values[name][q])) for q in shared] for name in (one, two)]
        found.append(paired_difference(*sides, confidence=confidence))
    tested = [at for at, f in enumerate(found) if f.p is not None]
    p = [found[at].p or 0.0 for at in tested]
    strict, loose = (
        dict(zip(tested, f(p).tolist(), strict=True)) for f in (holm, benjamini_hochberg)
    )
    pairs = [
        ModelPair(one, two, found[at], strict.get(at), loose.get(at))
        for at, (one, two) in enumerate(combinations(means, 2))
    ]
    warnings = [w for s in scores for w in s.warnings]
    if missing:
        kind = "unscored" if by == "score" else "not rated"
        warnings.append(f"{missing} answers are {kind} and are skipped")
    fewest = min((f.difference.n for f in found), default=0)
    if fewest < _FEW:
        warnings.append(f"only {fewest} instructions in common: intervals are rough, or missing")
    if by == "score":
        warnings.append(
            "these are the judge's scores, not what people say; `selfj estimate` corrects them by "
            "a few ratings"
        )
    judge = scores[0].name if by == "score" else "ratings"
    counts = {n: sum(map(len, values[n].values())) for n in means}
    return ModelComparison(judge, by, means, counts, pairs, confidence, warnings)


def _named(scores: Sequence[Scores]) -> list[Scored]:
    """The answers; those of a file of one model that names none get the file's name."""
    if len(scores) == 1:
        return list(scores[0].answers)
    names = []
    for own in scores:
        models = {a.model for a in own.answers}
        if len(models) > 1:
            listed = ", ".join(sorted(map(str, models))[:5])
            message = f"holds answers by {len(models)} models ({listed}); give a file per model."
            raise DataError(message, path=own.path, field="model")
        names.append(models.pop() if models else None)
    if None in names or len(set(names)) < len(names):
        names = [*distinct_names(scores)]
    return [
        replace(a, model=name) for own, name in zip(scores, names, strict=True) for a in own.answers
    ]
