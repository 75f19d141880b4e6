"""Two ways to tell which answer is better, both at once or each alone: what they say and cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from selfj_eval.metrics import Metric, mean_intervals, preference_points
from selfj_eval.metrics.result import Array
from selfj_eval.raters.pair_judge import PairJudge
from selfj_eval.raters.protocol import Progress, Rater
from selfj_eval.records.pairs import SIGNS, Pair, PairJudgment
from selfj_eval.records.record import Judgment

J = TypeVar("J")


class Bootstrapped(NamedTuple):
    """How intervals are computed."""

    confidence: float = 0.95
    resamples: int = 1000
    seed: int = 0


class Cost(NamedTuple):
    """What a judge was given in this run, without what was in the store.

    Attributes:
        prompts, tokens: How many prompts, and their tokens.
        seconds: Time that the judging took.
        from_store: How many pairs were known before.
    """

    prompts: int
    tokens: int
    seconds: float
    from_store: int


@dataclass(frozen=True, slots=True)
class Way:
    """One way to tell which of two answers is better.

    Attributes:
        template: The prompt template.
        scored, unscored, trimmed: Counts of pairs.
        mean_label_mass: Over the scored pairs, of the lower of a pair's two; None without any.
        accuracy: Over the pairs whose label is no tie: how often the preferred answer is the one
            of the label; no preference counts half.
        with_ties: Over all labelled pairs, three-way: preference and label both say A, B or tie.
        cost: What the judge was given.
    """

    template: str
    scored: int
    unscored: int
    trimmed: int
    mean_label_mass: float | None
    accuracy: Metric
    with_ties: Metric
    cost: Cost


class Verdict(NamedTuple):
    """What one way says of a pair.

    Attributes:
        a, b: How good the two answers are; None where the pair is unscored.
        mass: Probability in [0, 1] that the judge gave to its labels; None of raters without.
        trimmed: Whether a text was too long for the prompt.
        error: Why it is unscored, or None.
    """

    a: float | None
    b: float | None
    mass: float | None
    trimmed: bool
    error: str | None

    @classmethod
    def of_pair(cls, judgment: PairJudgment) -> Verdict:
        """Of a judge that was shown both answers."""
        own = judgment.preference
        other = None if own is None else 1 - own
        trimmed = judgment.trimmed_tokens > 0
        return cls(own, other, judgment.label_mass, trimmed, judgment.error)

    @classmethod
    def of_sides(cls, a: Judgment, b: Judgment) -> Verdict:
        """Of a rater that rated each answer alone."""
        trimmed = max(a.trimmed_tokens, b.trimmed_tokens) > 0
        if a.score is None or b.score is None:
            why = f"answer {'A' if a.score is None else 'B'} alone: {a.error or b.error}"
            return cls(None, None, None, trimmed, why)
        masses = [own.digit_mass for own in (a, b) if own.digit_mass is not None]
        return cls(a.score, b.score, min(masses, default=None), trimmed, None)


Asked: TypeAlias = tuple[str, Sequence[Verdict], Cost]
"""A way: its template, a verdict per pair, and the cost."""


def together(
    judge: PairJudge, pairs: Sequence[Pair], progress: Progress
) -> tuple[list[PairJudgment], Cost]:
    """What a judge says that is shown both answers of each pair."""
    return _timed(judge, lambda: judge.judge(pairs, progress=progress))


def alone(rater: Rater, pairs: Sequence[Pair], progress: Progress) -> tuple[list[Verdict], Cost]:
    """What a rater says that rates each answer alone; told how many answers are done."""
    answers = [pair.answer(side) for side in "ab" for pair in pairs]
    judgments, cost = _timed(rater, lambda: rater.judge(answers, progress=progress))
    sides = zip(judgments[: len(pairs)], judgments[len(pairs) :], strict=True)
    return [Verdict.of_sides(*own) for own in sides], cost._replace(from_store=cost.from_store // 2)


def _timed(judge: Any, work: Callable[[], list[J]]) -> tuple[list[J], Cost]:
    names = ("prompts", "tokens", "from_store")
    before, start = [getattr(judge, name, 0) for name in names], time.monotonic()
    found = work()
    seconds = round(time.monotonic() - start, 2)
    prompts, tokens, known = (
        getattr(judge, name, 0) - was for name, was in zip(names, before, strict=True)
    )
    return found, Cost(prompts, tokens, seconds, known)


def points_of(pairs: Sequence[Pair], verdicts: Sequence[Verdict]) -> Array:
    """What pairs count in the two accuracies, shape (n, 2); NaN where unscored or unlabelled."""
    points = np.full((len(pairs), 2), np.nan)
    there = [
        (at, own.a, own.b, SIGNS[pair.label])
        for at, (pair, own) in enumerate(zip(pairs, verdicts, strict=True))
        if pair.label is not None and own.a is not None
    ]
    if there:
        at, a, b, signs = zip(*there, strict=True)
        points[list(at)] = preference_points(a, b, signs)
    return points


def ways_of(
    pairs: Sequence[Pair],
    asked: Sequence[Asked],
    settings: Bootstrapped,
) -> tuple[list[Way], Metric | None]:
    """One or two ways with their accuracies, whose intervals are bootstrapped over instructions.

    Args:
        pairs: The pairs.
        asked: The ways.
        settings: Of the intervals.

    Returns:
        The ways, and of two the difference of their accuracies.
    """
    points = [points_of(pairs, verdicts) for _, verdicts, _ in asked]
    columns = points if len(points) == 1 else [*points, points[0][:, :1] - points[1][:, :1]]
    group = [pair.question for pair in pairs]
    metrics = mean_intervals(np.concatenate(columns, axis=1), group=group, **settings._asdict())
    ways = []
    for at, (template, verdicts, cost) in enumerate(asked):
        scored = [own for own in verdicts if own.a is not None]
        masses = [own.mass for own in scored if own.mass is not None]
        ways.append(
            Way(
                template,
                len(scored),
                len(verdicts) - len(scored),
                sum(own.trimmed for own in scored),
                sum(masses) / len(masses) if masses else None,
                metrics[2 * at],
                metrics[2 * at + 1],
                cost,
            )
        )
    return ways, metrics[4] if len(points) > 1 else None
