"""New scores against those of an earlier version, on the same instructions."""

from __future__ import annotations

from collections import Counter

from selfj_eval.errors import DataError, counted, some
from selfj_eval.evaluation.compare_models import paired_means, same_judge
from selfj_eval.judging.scored import Scored, Scores
from selfj_eval.metrics.paired_means import PairedDifference


def against_baseline(
    new: Scores, old: Scores, confidence: float
) -> tuple[PairedDifference, list[str]]:
    """How the mean score differs from that of a baseline, new - old, by instruction.

    Args:
        new: Scored answers, of which at least one has a score.
        old: Scored answers of the earlier version, by the same judge.
        confidence: Level of the interval.

    Returns:
        The difference on the instructions that both answered, and what a reader has to know.

    Raises:
        DataError: If either holds answers by several models or answers without an instruction, the
            scores are by different judges, or no instruction is in both.
    """
    notes = [*old.warnings, *same_judge([new, old])]
    first, second = _by_instruction(new), _by_instruction(old)
    if not first.keys() & second.keys():
        raise DataError(
            f"has no scored answer to an instruction of {new.path}; a baseline holds the scores of "
            "an earlier version's answers to the same instructions.",
            path=old.path,
        )
    for own, other, path in ((first, second, new.path), (second, first, old.path)):
        if alone := len(own.keys() - other.keys()):
            is_only = counted(alone, "instruction has", "instructions have")
            notes.append(f"{is_only} a score only in {path} and cannot be compared")
    if unscored := sum(a.score is None for a in old.answers):
        notes.append(
            f"{counted(unscored, 'answer')} of {old.path} {'is' if unscored == 1 else 'are'} "
            "unscored and skipped"
        )
    return paired_means(first, second, confidence), notes


def missing_answers(new: Scores, old: Scores) -> list[Scored]:
    """Answers of a baseline to which the new scores have no counterpart, not even an unscored one.

    They are counted by instruction: ids may hold the name of a version.
    """
    left = Counter(a.question for a in new.answers)
    found = []
    for answer in old.answers:
        left[answer.question] -= 1
        if left[answer.question] < 0:
            found.append(answer)
    return found


def _by_instruction(scores: Scores) -> dict[str, list[float]]:
    models = sorted({a.model for a in scores.answers if a.model is not None})
    if len(models) > 1:
        message = f"holds answers by {len(models)} models ({some(models, 5)}); name one as `model`."
        raise DataError(message, path=scores.path, field="model")
    found: dict[str, list[float]] = {}
    for a in sorted(scores.answers, key=lambda a: a.id):
        if a.question is None:
            message = f"{a.id!r} has no instruction, and a baseline is compared by instruction."
            raise DataError(message, path=scores.path, field="instruction")
        if a.score is not None:
            found.setdefault(a.question, []).append(a.score)
    return found
