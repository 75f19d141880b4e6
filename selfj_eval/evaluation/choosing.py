"""The policy that accepts most while its promise holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from selfj_eval.errors import DataError, counted, printable
from selfj_eval.evaluation.columns import Columns, unequal_chances
from selfj_eval.evaluation.drifting import distributions
from selfj_eval.evaluation.evaluate import warnings_on
from selfj_eval.evaluation.policy import BAD, RATING, Policy
from selfj_eval.evaluation.selection import ENOUGH_ANSWERS, ENOUGH_INSTRUCTIONS, Promise
from selfj_eval.jobs.arguments import expect
from selfj_eval.jobs.results import plain
from selfj_eval.judging.scored import Scores
from selfj_eval.metrics import (
    certify,
    certify_over_instructions,
    fewest_records,
    fit_platt,
    lowest_certifiable_risk,
    lowest_risk_over_instructions,
    one_of_each,
    risk_over_instructions,
)
from selfj_eval.metrics.result import Array

if TYPE_CHECKING:
    from selfj_eval.judging.scored import Scored


class Wanted(NamedTuple):
    """What is to be promised.

    Attributes:
        max_risk, confidence: In (0, 1).
        good_at: As in ``Policy``.
        loss: ``bad`` or ``rating``.
        all_answers: Use all answers to an instruction, however few instructions there are.
        by_category: A threshold and a promise for each category.
    """

    max_risk: float
    confidence: float
    good_at: float
    loss: str = BAD
    all_answers: bool = False
    by_category: bool = False


class Choice(NamedTuple):
    """What was found.

    Attributes:
        policy: The policy, or None where nothing can be promised.
        promises: One for each category, or a single one.
        promise: What is promised, or was to be, as a sentence.
        notes: What a reader of the promise has to know, as sentences.
    """

    policy: Policy | None
    promises: Sequence[Promise]
    promise: str
    notes: Sequence[str]


def choose(scores: Scores, wanted: Wanted) -> Choice:
    """The policy with the largest coverage that can be certified.

    Args:
        scores: Scored answers with ratings, from the source that the policy will meet.
        wanted: What is to be promised.

    Raises:
        DataError: If no answer has a score and a rating, ``good_at`` lies outside the ratings,
            rated answers were chosen with different probabilities, or what is wanted needs scales,
            texts or categories that are missing.
        TypeError: If ``scores`` is no ``Scores``.
    """
    expect(scores, Scores, "choose()", "selfj_eval.judging.scored.read_scores")
    data = Columns.of(scores.rated, wanted.good_at)
    _check(data, scores, wanted)
    parts = _parts(data, wanted)
    for part in parts.values():
        _check_chances(part, scores.ratings or scores.path)
    sizes = _sizes(scores, wanted)
    notes = [*scores.warnings, *warnings_on(scores, data), *_note_on_sizes(sizes)]
    if left := len(data.answers) - sum(len(part.answers) for part in parts.values()):
        some = counted(left, "rated answer has", "rated answers have")
        notes.append(f"{some} no category: nothing is promised for such answers")
    # Bonferroni. Holm's larger shares would need a category in which all thresholds hold.
    error = (1 - wanted.confidence) / len(parts)
    promises = [_promise(part, name, wanted, 1 - error, sizes) for name, part in parts.items()]
    sentence = _sentence(wanted, promises)
    policy = None
    if any(one.threshold is not None for one in promises):
        policy = _policy(scores, data, wanted, promises, sentence, notes)
    return Choice(policy, promises, sentence, notes)


def losses(data: Columns, loss: str) -> Array:
    """What each answer costs, in [0, 1]: 1 if it is bad, or 1 - rating on 0..1."""
    if loss == RATING:
        return 1 - np.clip(data.quality / 9, 0, 1)
    return (~data.good).astype(float)


def refuse_unscaled(answers: Sequence[Scored], loss: str, path: str) -> None:
    """Refuse rated answers on no known scale, if their ratings are the loss."""
    if loss == RATING and any(None in (a.rating_min, a.rating_max) for a in answers):
        message = "a loss made of ratings needs their scale in every row; give it as `scale`."
        raise DataError(message, path=path, field="rating_min")


def _check(data: Columns, scores: Scores, wanted: Wanted) -> None:
    if not data.answers:
        raise DataError("no answer has a score and a rating to calibrate on.", path=scores.path)
    data.check_good_at(wanted.good_at, scores.ratings or scores.path)
    refuse_unscaled(data.answers, wanted.loss, scores.path)
    if wanted.all_answers and data.group is None:
        message = "`all_answers` needs the instruction of every answer; add the texts."
        raise DataError(message, path=scores.path, field="instruction")
    if wanted.by_category and all(answer.category is None for answer in data.answers):
        message = "`by_category` needs categories, and no rated answer has one."
        raise DataError(message, path=scores.path, field="category")


def _check_chances(data: Columns, path: str) -> None:
    """Refuse answers that are no draw from the source that the promise is about."""
    what = unequal_chances(data.answers)
    if what is not None:
        raise DataError(
            f"{what}, but a promise is about the source of the answers: draw instructions at "
            "random and rate all their answers, or, where all instructions have the same number "
            "of answers, rate those that `selfj plan` chose with the design `random` or "
            "`stratified`. Give only these ratings.",
            path=path,
            field="inclusion",
        )


def _sizes(scores: Scores, wanted: Wanted) -> Counter[Any]:
    """How many answers each instruction has, rated or not, where the rated ones cannot tell.

    Empty where all answers to an instruction are rated, or none, and where all instructions have
    the same number: then each counts by its rated answers alone.
    """
    answers = Counter(_instruction(a, wanted) for a in scores.answers)
    rated = Counter(_instruction(a, wanted) for a in scores.rated)
    if any(a.question is None for a in scores.answers):
        return Counter()
    partly = any(n < answers[key] for key, n in rated.items())
    return answers if partly and len(set(answers.values())) > 1 else Counter()


def _instruction(answer: Scored, wanted: Wanted) -> tuple[str | None, str | None]:
    return answer.question, answer.category if wanted.by_category else None


def _note_on_sizes(sizes: Counter[Any]) -> list[str]:
    if not sizes:
        return []
    return [
        "some instructions have answers without a rating, and not all have the same number of "
        "answers: each instruction is weighted by the share of its answers that are rated. This "
        "is valid if every answer had the same probability of being rated"
    ]


def _parts(data: Columns, wanted: Wanted) -> dict[str | None, Columns]:
    """The answers of each category; all of them under None where that is not wanted."""
    if not wanted.by_category:
        return {None: data}
    members: dict[str | None, list[Scored]] = {}
    for answer in data.answers:
        if answer.category is not None:
            members.setdefault(answer.category, []).append(answer)
    return {name: Columns.of(members[name], wanted.good_at) for name in sorted(members, key=str)}


def _promise(
    data: Columns, name: str | None, wanted: Wanted, confidence: float, sizes: Counter[Any]
) -> Promise:
    """The best threshold on these answers, by a test that only their numbers decide on."""
    n = len(data.answers)
    instructions = None if data.group is None else len(np.unique(data.group))
    many = instructions is not None and (
        instructions >= ENOUGH_INSTRUCTIONS and n >= ENOUGH_ANSWERS * instructions
    )
    size = np.array([sizes[_instruction(a, wanted)] for a in data.answers]) if sizes else None
    if sizes:  # with few of an instruction's answers, one that is drawn from all tells more
        of_all = sum(sizes[key] for key in {_instruction(a, wanted) for a in data.answers})
        many = many and n >= of_all / 2
    betting = many or wanted.all_answers or wanted.loss == RATING
    group = np.arange(n) if data.group is None else data.group
    if not betting and instructions is not None and (instructions < n or size is not None):
        chosen = one_of_each(group, size=size)
        data = Columns.of([data.answers[k] for k in chosen], wanted.good_at)
        group, size = np.arange(len(chosen)), None
    loss, risk = losses(data, wanted.loss), wanted.max_risk
    threshold = lowest = fewest = None
    if betting:
        threshold = certify_over_instructions(
            data.score, loss, group, max_risk=risk, confidence=confidence, size=size
        )
    elif found := certify(data.score, data.good, max_risk=risk, confidence=confidence):
        threshold = found.threshold
    if threshold is None and betting:
        lowest = lowest_risk_over_instructions(
            data.score, loss, group, confidence=confidence, size=size
        )
    elif threshold is None:
        lowest = lowest_certifiable_risk(data.score, data.good, confidence=confidence)
        fewest = fewest_records(risk, confidence)
    accepted = np.zeros(len(data.score), bool) if threshold is None else data.score >= threshold
    return Promise(
        category=name,
        test="betting" if betting else "binomial",
        used=_used(betting, n, instructions, len(data.answers)),
        rated=n,
        n=len(data.score),
        instructions=instructions,
        bad=int((~data.good).sum()),
        threshold=threshold,
        accepted=int(accepted.sum()),
        bad_accepted=int((accepted & ~data.good).sum()),
        risk=None
        if threshold is None
        else risk_over_instructions(data.score, loss, group, threshold, size=size),
        lowest_certifiable_risk=lowest,
        fewest_records=fewest,
    )


def _used(betting: bool, n: int, instructions: int | None, used: int) -> str:
    if instructions is None:
        test = "betting" if betting else "binomial"
        return f"{test} test on {counted(n, 'answer')}, taken as independent"
    if betting:
        some = counted(instructions, "instruction")
        return f"betting test over {some}, with all their {counted(n, 'answer')}"
    drawn = ", drawn at random" if instructions < n else ""
    if used < instructions:
        drawn = f", {used:,} of them drawn by the share of their answers that are rated"
    each = counted(instructions, "instruction")
    return f"binomial test on one answer to each of {each}{drawn}"


def _sentence(wanted: Wanted, promises: Sequence[Promise]) -> str:
    """What exactly is promised."""
    known = promises[0].instructions is not None
    source = "from the same source"
    drawn = f"an instruction {source}, then one of its answers" if known else f"an answer {source}"
    what = f"the chance that it is bad is at most {wanted.max_risk:g}"
    if wanted.loss == RATING:
        what = f"its expected loss (1 - rating on 0 to 1) is at most {wanted.max_risk:g}"
    where = ", in every category that has a threshold" if wanted.by_category else ""
    monotone = any(one.test == "binomial" for one in promises)
    given = ", if a higher threshold has no higher risk" if monotone else ""
    return (
        f"Draw {drawn}: if the answer is accepted, {what}{where}. This holds with probability "
        f"{wanted.confidence:g} over the draw of the calibration "
        f"{'instructions' if known else 'answers'}{given}."
    )


def _policy(
    scores: Scores,
    data: Columns,
    wanted: Wanted,
    promises: Sequence[Promise],
    sentence: str,
    notes: Sequence[str],
) -> Policy:
    found = {one.category: one.threshold for one in promises if one.threshold is not None}
    curve = fit_platt(data.score, data.good)
    calibration: dict[str, Any] = {
        "scores": printable(Path(scores.path).name),
        "sha256": scores.sha256,
        "n": sum(one.n for one in promises),
        "accepted": sum(one.accepted for one in promises),
        "bad": sum(one.bad_accepted for one in promises),
        "unscored": sum(a.score is None for a in scores.answers),
        "lowest_score": float(data.score.min()),
        "highest_score": float(data.score.max()),
        "scaled_ratings": data.scaled,
        "promises": plain(promises),
        "warnings": list(notes),
    }
    judge = scores.run.get("judge")
    policy = Policy(
        max(found.values()),
        wanted.max_risk,
        wanted.confidence,
        wanted.good_at,
        curve.slope,
        curve.intercept,
        calibration,
        judge if isinstance(judge, dict) else None,
        loss=wanted.loss,
        promise=sentence,
        thresholds={str(n): t for n, t in found.items()} if wanted.by_category else None,
    )
    accepted = [answer for answer in data.answers if policy.decide(answer).accept]
    seen = {"all": distributions(data.answers), "accepted": distributions(accepted)}
    return replace(policy, distributions=seen)
