"""What came of comparing answers: preferences, what the order does, agreement, and the cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from selfj_eval.errors import shown
from selfj_eval.jobs.results import Result, first_of, plain, table
from selfj_eval.judging.pair_ways import Verdict, Way
from selfj_eval.metrics import Metric, PositionBias
from selfj_eval.records.conversations import messages_of
from selfj_eval.records.pairs import Pair, PairJudgment

_TEXTS = (
    *("model_a", "model_b", "category", "instruction"),
    *("response_a", "response_b", "reference"),
)


@dataclass(frozen=True)
class Preferences(Result):
    """Which answers a judge prefers.

    Attributes:
        pairs, labelled, instructions: Counts; the last one of distinct questions.
        wins: How many pairs A wins (``A``), B wins (``B``), and neither (``tie``).
        pairwise: The judge that is shown both answers, in both orders.
        position_bias: How much the order matters.
        pointwise: The same judge where it rates each answer alone, or None.
        difference: Accuracy of pairwise minus that of pointwise, over the pairs that both scored.
        errors: One line per unscored pair, of each way, ``id: why``.
        output: The file with a row per pair, or None.
        usage: What the server counted in both ways together, such as tokens.
        notices: What was recognised or skipped in the input.
        run: How it was made; for a file, the run file beside it.
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
    usage: Mapping[str, float]
    notices: Sequence[str]
    run: Mapping[str, Any] = field(repr=False)
    judgments: Sequence[PairJudgment] = field(repr=False)
    _rows: Sequence[Mapping[str, Any]] = field(repr=False)

    @property
    def unscored(self) -> int:
        """Pairs without a preference, or with one but no two scores where these were asked for."""
        return sum(
            row["preference"] is None or ("score_a" in row and row["score_a"] is None)
            for row in self._rows
        )

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
        counted = (f"{name.replace('_', ' ')} {value:,.10g}" for name, value in self.usage.items())
        text += [f"  counted by the server: {', '.join(counted)}"] if self.usage else []
        if self.output is not None:
            text.append(f"  written to {self.output}")
        return "\n".join(text)


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
            row |= {"score_a": alone[at].a, "score_b": alone[at].b, "error_alone": alone[at].error}
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
