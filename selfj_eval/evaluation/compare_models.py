"""Answering models compared on the instructions that they share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from selfj_eval.errors import DataError, counted
from selfj_eval.evaluation.columns import note_on_chances
from selfj_eval.evaluation.model_comparison import ModelComparison, ModelPair
from selfj_eval.judging.models import one_model_each
from selfj_eval.judging.scales import scale_of
from selfj_eval.judging.scored import Scored, Scores, distinct_names
from selfj_eval.metrics.paired_means import (
    PairedDifference,
    benjamini_hochberg,
    detectable_difference,
    holm,
    needed_instructions,
    paired_difference,
)
from selfj_eval.metrics.result import FEWEST_UNITS
from selfj_eval.prompts.labels import MAX_SCORE, MIN_SCORE

MOST_MODELS = 40
SAME = ("model", "identity", "rater", "template", "template_sha256", "scale", "reference")
"""What the run files must agree in."""


def compared_models(scores: Sequence[Scores], by: str, confidence: float) -> ModelComparison:
    """Compare the models of a file, or the model of one file with that of another.

    Args:
        scores: One file with several models, or two files whose answers are by one model each.
        by: ``score`` or ``rating``.
        confidence: Level of the intervals.

    Raises:
        DataError: If there are fewer than two models or more than 40, the instructions are
            unknown, or the scores of two files are by different judges.
    """
    warnings = [w for s in scores for w in s.warnings]
    if by == "score":
        warnings += same_judge(scores)
    answers = sorted(_named(scores), key=lambda a: a.id)  # nothing depends on the file's order
    path = scores[0].path
    values: dict[str, dict[str, list[float]]] = {}
    missing: list[Scored] = []
    taken: list[Scored] = []
    unnamed = 0
    texts: dict[str, dict[str, set[str | None]]] = {}
    for a in answers:
        value = a.score if by == "score" else a.quality
        if value is None:
            missing.append(a)
        elif a.question is None:
            message = f"{a.id!r} has no instruction, and models are compared by instruction."
            raise DataError(message, path=path, field="instruction")
        elif a.model is None:
            unnamed += 1
        else:
            taken.append(a)
            values.setdefault(a.model, {}).setdefault(a.question, []).append(value)
            texts.setdefault(a.model, {}).setdefault(a.question, set()).add(a.response)
    if not 2 <= len(values) <= MOST_MODELS:
        names = ", ".join(sorted(values)[:5]) or "none"
        some = counted(len(missing), "answer has", "answers have")
        without = f" ({some} no {by})" if missing else ""
        raise DataError(
            f"has answers with a {by} by {counted(len(values), 'model')} ({names}); a comparison "
            f"takes 2 to {MOST_MODELS}{without}. Name the models in the field `model`, or give a "
            "file per model.",
            path=path,
            field="model",
        )
    means = {n: float(np.mean([v for own in qs.values() for v in own])) for n, qs in values.items()}
    means = dict(sorted(means.items(), key=lambda item: (-item[1], item[0])))
    found = []
    for one, two in combinations(means, 2):
        found.append(paired_means(values[one], values[two], confidence))
        if texts[one] == texts[two] and not any(None in given for given in texts[one].values()):
            warnings.append(f"all answers of {one} and {two} are equal: is one of them a copy?")
    tested = [at for at, f in enumerate(found) if f.p is not None]
    p = [found[at].p or 0.0 for at in tested]
    strict, loose = (
        dict(zip(tested, f(p).tolist(), strict=True)) for f in (holm, benjamini_hochberg)
    )
    # Of k tests, Holm's claims at least what is below alpha / k.
    alpha = (1 - confidence) / max(1, len(tested))
    pairs = [
        ModelPair(
            one,
            two,
            found[at],
            strict.get(at),
            loose.get(at),
            detectable_difference(found[at], alpha),
            needed_instructions(found[at], alpha),
        )
        for at, (one, two) in enumerate(combinations(means, 2))
    ]
    if missing:
        first = f"; first {missing[0].id}: {missing[0].error}" if by == "score" else ""
        kind = "unscored" if by == "score" else "unrated"
        some = counted(len(missing), f"{kind} answer is", f"{kind} answers are")
        warnings.append(f"{some} skipped{first}")
    if unnamed:
        some = counted(unnamed, "answer without a model is", "answers without a model are")
        warnings.append(f"{some} skipped")
    fewest = min((f.difference.n for f in found), default=0)
    if fewest < FEWEST_UNITS:
        some = counted(fewest, "instruction")
        warnings.append(f"only {some} in common: too few for reliable intervals")
    if by == "rating":
        warnings += note_on_chances(taken, "; use `selfj estimate` for all")
    else:
        warnings.append(
            "these are the judge's scores, not people's ratings; `selfj estimate` corrects them "
            "with a few ratings"
        )
    judge = scores[0].name if by == "score" else "ratings"
    counts = {n: sum(map(len, values[n].values())) for n in means}
    scale = _scale(scores, by)
    return ModelComparison(
        judge, by, scale, means, counts, len(missing), pairs, confidence, warnings
    )


def paired_means(
    first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]], confidence: float
) -> PairedDifference:
    """The difference of two means over the instructions that both answered, first - second.

    Args:
        first, second: The values of the answers to each instruction.
        confidence: Level of the interval.
    """
    shared = sorted(first.keys() & second.keys())
    sides = [[float(np.mean(values[q])) for q in shared] for values in (first, second)]
    return paired_difference(*sides, confidence=confidence)


def _scale(scores: Sequence[Scores], by: str) -> tuple[float, float] | None:
    """Ends of the scale of what is compared; None where it is unknown."""
    if by == "rating":
        rated = [a for s in scores for a in s.answers if a.rating is not None]
        known = all(None not in (a.rating_min, a.rating_max) for a in rated)
        return (MIN_SCORE, MAX_SCORE) if known else None
    judge = scores[0].run.get("judge")
    ends = scale_of(judge) if isinstance(judge, Mapping) else (math.inf, math.inf)
    return None if math.isinf(ends[0]) else ends


def same_judge(scores: Sequence[Scores]) -> list[str]:
    """A note where it is not known whether one judge gave the scores of two files.

    Raises:
        DataError: If two judges gave them.
    """
    if len(scores) == 1:
        return []
    given = [s.run.get("judge") for s in scores]
    judges = [judge for judge in given if isinstance(judge, Mapping)]
    if len(judges) < len(given):
        return ["it is not known whether the same judge gave the scores of both files"]
    differing = [part for part in SAME if len({repr(judge.get(part)) for judge in judges}) > 1]
    if differing:
        raise DataError(
            f"the scores of {scores[0].path} and {scores[1].path} are by different judges "
            f"({', '.join(differing)}); score both files with the same judge.",
            path=scores[1].path,
        )
    return []


def _named(scores: Sequence[Scores]) -> list[Scored]:
    """The answers; those of a file of one model that names none get the file's name."""
    if len(scores) == 1:
        return list(scores[0].answers)
    models = [[a.model for a in own.answers] for own in scores]
    names = one_model_each([s.path for s in scores], models, lambda: distinct_names(scores))
    return [
        replace(a, model=name) for own, name in zip(scores, names, strict=True) for a in own.answers
    ]
