"""What came of comparing answers: preferences, what the order does, agreement, and the cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from selfj_eval.errors import shown
from selfj_eval.jobs.results import Result, first_of, plain, table
from selfj_eval.metrics import Metric, PositionBias, mean_intervals, preference_points
from selfj_eval.metrics.result import Array
from selfj_eval.records.conversations import messages_of
from selfj_eval.records.pairs import Pair, PairJudgment
from selfj_eval.records.record import Judgment

_SIGNS = {"A": 1, "tie": 0, "B": -1}
_TEXTS = (
    *("model_a", "model_b", "category", "instruction"),
    *("response_a", "response_b", "reference"),
)


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


@dataclass(frozen=True)
class Preferences(Result):
    """Which answers a judge prefers.

    Attributes:
        pairs, labelled, instructions: Counts; the last one of distinct questions.
        wins: How many pairs A wins (``A``), B wins (``B``), and neither (``tie``).
        pairwise: The judge that is shown both answers, in both orders.
        position_bias: What the order does to it.
        pointwise: The same judge where it rates each answer alone, or None.
        difference: Accuracy of pairwise less that of pointwise, over the pairs that both scored.
        errors: One line per unscored pair, ``id: why``.
        output: The file with a row per pair, or None.
        notices: What was recognised or left out in the input.
        run: How it was made; of a file it stands beside it.
        judgments: One per pair, in their order.
    """

    pairs: int
    labelled: int
    instructions: int
    wins: Mapping[str, int]
    pairwise: Way
    position_bias: PositionBias
    pointwise: Way | None
    difference: Metric | None
    errors: Sequence[str]
    output: str | None
    notices: Sequence[str]
    run: Mapping[str, Any] = field(repr=False)
    judgments: Sequence[PairJudgment] = field(repr=False)
    _rows: Sequence[Mapping[str, Any]] = field(repr=False)

    @property
    def unscored(self) -> int:
        """Pairs without a preference, or with one but no two scores where these were asked for."""
        return self.pairwise.unscored + (self.pointwise.unscored if self.pointwise else 0)

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the JSON that the command prints."""
        hidden = ("run", "judgments", "_rows")
        return {name: plain(value) for name, value in vars(self).items() if name not in hidden}

    def rows(self) -> list[dict[str, Any]]:
        """One row per pair."""
        return [dict(row) for row in self._rows]

    def __str__(self) -> str:
        ways = {"pairwise": self.pairwise}
        if self.pointwise is not None:
            ways["pointwise"] = self.pointwise
        head = ("", "accuracy", "", "with ties", "scored", "UNSCORED", "label mass")
        lines: list[tuple[str, ...]] = [(*head, "prompts", "tokens", "seconds")]
        lines += [_line(name, way) for name, way in ways.items()]
        if self.difference is not None:
            cells = (_value(self.difference), _interval(self.difference))
            lines.append(("difference", *cells, *[""] * 7))
        wins = ", ".join(f"{name} {count:,}" for name, count in self.wins.items())
        known = self.pairwise.cost.from_store
        text = [
            f"{self.pairs:,} pairs of answers to {self.instructions:,} instructions, "
            f"{self.labelled:,} labelled"
            + (f"; {known:,} were in the store" if known else "")
            + f"; preferred: {wins}",
            table(lines),
        ]
        text.append(f"  position bias: {self.position_bias}")
        text += first_of(self.errors, rest=", all with `json`")
        text += [f"  note: {shown(sentence)}" for sentence in self.notices]
        if self.output is not None:
            text.append(f"  written to {self.output}")
        return "\n".join(text)


def points_of(pairs: Sequence[Pair], verdicts: Sequence[Verdict]) -> Array:
    """What pairs count in the two accuracies, shape (n, 2); NaN where unscored or unlabelled."""
    points = np.full((len(pairs), 2), np.nan)
    there = [
        (at, own.a, own.b, _SIGNS[pair.label])
        for at, (pair, own) in enumerate(zip(pairs, verdicts, strict=True))
        if pair.label is not None and own.a is not None
    ]
    if there:
        at, a, b, signs = zip(*there, strict=True)
        points[list(at)] = preference_points(a, b, signs)
    return points


def ways_of(
    pairs: Sequence[Pair],
    asked: Sequence[tuple[str, Sequence[Verdict], Cost]],
    settings: Bootstrapped,
) -> tuple[list[Way], Metric | None]:
    """One or two ways with their accuracies, whose intervals are bootstrapped over instructions.

    Args:
        pairs: The pairs.
        asked: Of each way the template, a verdict per pair, and the cost.
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


def rows_of(
    pairs: Sequence[Pair], judgments: Sequence[PairJudgment], alone: Sequence[Verdict] | None
) -> list[dict[str, Any]]:
    """Rows of the output; texts that no pair has are left out."""
    given = [name for name in _TEXTS if any(getattr(pair, name) is not None for pair in pairs)]
    rows = []
    for at, (pair, own) in enumerate(zip(pairs, judgments, strict=True)):
        row: dict[str, Any] = {"id": own.id, "winner": own.winner, "label": pair.label}
        row |= {each.name: getattr(own, each.name) for each in fields(own)}
        if alone is not None:
            row |= {"score_a": alone[at].a, "score_b": alone[at].b, "score_error": alone[at].error}
        row |= {name: getattr(pair, name) for name in given}
        if pair.messages is not None:
            row["messages"] = messages_of(pair.messages)
        rows.append(row)
    return rows


def _line(name: str, way: Way) -> tuple[str, ...]:
    mass = "-" if way.mean_label_mass is None else f"{way.mean_label_mass:.3f}"
    counts = (f"{way.scored:,}", f"{way.unscored:,}", mass)
    cost = (f"{way.cost.prompts:,}", f"{way.cost.tokens:,}", f"{way.cost.seconds:.1f}")
    cells = (_value(way.accuracy), _interval(way.accuracy), _value(way.with_ties))
    return (name, *cells, *counts, *cost)


def _value(metric: Metric) -> str:
    return "-" if metric.value is None else f"{metric.value:.3f}"


def _interval(metric: Metric) -> str:
    return "" if metric.interval is None else f"[{metric.low:.3f}, {metric.high:.3f}]"
