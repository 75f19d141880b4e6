"""Rated answers as the steps of an audit: one for each instruction."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from selfj_eval.errors import DataError, counted
from selfj_eval.evaluation.audit_state import AuditStep
from selfj_eval.evaluation.choosing import losses, refuse_unscaled
from selfj_eval.evaluation.columns import Columns
from selfj_eval.evaluation.policy import Policy

if TYPE_CHECKING:
    from selfj_eval.judging.scored import Scored, Scores


def audited(scores: Scores, policy: Policy, least_inclusion: float | None) -> list[Scored]:
    """The rated answers that the policy accepts, in the order of the file.

    Raises:
        DataError: If there are none, or their inclusion probabilities or scales do not fit.
    """
    path = scores.ratings or scores.path
    found = [a for a in scores.rated if policy.decide(a).accept]
    if not scores.rated:
        raise DataError("no answer has a score and a rating to audit with.", path=path)
    if not found:
        message = "the policy accepts none of the rated answers; rate answers that it accepts."
        raise DataError(message, path=path)
    refuse_unscaled(found, policy.loss, path)
    _check_inclusion(found, least_inclusion, path)
    return found


def _check_inclusion(found: Sequence[Scored], least: float | None, path: str) -> None:
    known = [a for a in found if a.inclusion is not None]
    if not known:
        if least is not None:
            message = "`least_inclusion` is for labels with a field `inclusion`, which none has."
            raise DataError(message, path=path, field="inclusion")
        return
    if least is None:
        message = (
            "these labels have inclusion probabilities: give the smallest one that was possible "
            "as `least_inclusion`; it limits the bets, and must be known before the labels."
        )
        raise DataError(message, path=path, field="inclusion")
    for answer in found:
        chance = answer.inclusion
        if chance is None:
            some = counted(len(known), "other label has", "other labels have")
            message = f"is missing for {answer.id!r}; {some} one."
        elif not 0 < chance <= 1:
            message = f"of {answer.id!r} is {chance:g}; expected a probability above 0, at most 1."
        elif chance < least:
            message = f"of {answer.id!r} is {chance:g}, less than `least_inclusion` ({least:g})."
        else:
            continue
        raise DataError(message, path=path, field="inclusion")


def steps_of(scores: Scores, found: Sequence[Scored], policy: Policy) -> list[AuditStep]:
    """A step for each instruction of the audited answers, in their order.

    The promise is about the mean over all answers to an instruction of 1[accepted] (loss -
    max_risk). A step has 1[accepted and rated] / inclusion in place of 1[accepted], so its
    expectation is that mean (Horvitz and Thompson). If every accepted answer has the same chance
    of being rated, 1 can stand for ``inclusion``: that only changes the unit of all steps.

    Args:
        scores: All answers.
        found: What ``audited`` gave.
        policy: The policy.
    """
    loss = losses(Columns.of(found, policy.good_at), policy.loss)
    # Columns puts answers into the order of their ids.
    over = dict(zip(sorted(a.id for a in found), loss - policy.max_risk, strict=True))
    size = Counter(_key(answer, policy) for answer in scores.answers)
    members: dict[str, list[Scored]] = {}
    for answer in found:
        members.setdefault(_key(answer, policy), []).append(answer)
    steps = []
    for key, own in members.items():
        weight = np.array([1 / (a.inclusion or 1.0) for a in own]) / size[key]
        value = float(weight @ np.array([over[a.id] for a in own]))
        category = None if policy.thresholds is None else own[0].category
        steps.append(AuditStep(key, category, value, float(weight.sum())))
    return steps


def notes_on_choice(scores: Scores, found: Sequence[Scored], policy: Policy) -> list[str]:
    """What the weights of the steps take for granted, as sentences, where it may not be so.

    Args:
        scores, found, policy: As for ``steps_of``.
    """
    rated = Counter(_key(answer, policy) for answer in found)
    if len(found) == len(scores.answers):
        if len(rated) == len(found):
            return []
        return [
            "no answer here is declined or unrated, although some instructions have several "
            "answers. An instruction is weighted by the share of its answers that are accepted: "
            "if there are other answers, add them, or a promise that holds may be refuted"
        ]
    accepted = Counter(_key(a, policy) for a in scores.answers if policy.decide(a).accept)
    partly = sum(n < accepted[key] for key, n in rated.items())
    if not partly or found[0].inclusion is not None:
        return []
    some = counted(partly, "instruction has", "instructions have")
    return [
        f"{some} accepted answers with and without a rating. If not every accepted answer had the "
        "same probability of being rated, or ratings are still missing, a promise that holds may "
        "be refuted: rate all accepted answers of instructions that you choose at random, or "
        "give the probabilities in the field `inclusion`"
    ]


def alike(found: Sequence[Scored], least_inclusion: float | None) -> list[Scored]:
    """Of answers with several chances of being rated, so many that all had the same."""
    if least_inclusion is None:
        return list(found)
    return [a for a in found if _uniform(a.id) * (a.inclusion or 1.0) < least_inclusion]


def _key(answer: Scored, policy: Policy) -> str:
    """What answers to one instruction have in common; an answer without its text is alone."""
    parts = [answer.question] if answer.question is not None else ["", answer.id]
    if policy.thresholds is not None:
        parts.append(answer.category or "")
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _uniform(text: str) -> float:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
