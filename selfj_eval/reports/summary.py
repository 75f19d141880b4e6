"""What a reader with one minute has to know of a judge: three figures and a verdict, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfj_eval import metrics
from selfj_eval.evaluation.columns import Columns
from selfj_eval.evaluation.result import Evaluation
from selfj_eval.evaluation.selection import percent
from selfj_eval.evaluation.simple_raters import NO, YES, Against, verdict
from selfj_eval.jobs.results import plain
from selfj_eval.judging.scored import Scores
from selfj_eval.metrics import Metric

LEAST = 0.01
"""A smaller coverage is of no use, and is not said as a number."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One judge in brief.

    Attributes:
        judge: What it is called.
        sentences: The summary in words.
        agreement: Spearman's correlation of score and rating.
        max_risk: Largest share of bad answers among the accepted that is wanted.
        bad: Share of bad answers among all.
        coverage: Largest share of the answers, the highest scores first, of which at most
            ``max_risk`` are bad. It was found by looking at these answers.
        score_length, rating_length: Spearman's correlation with the answer's length.
        beats: Whether it beats the simple raters: ``yes``, ``no`` or ``cannot say``; None for a
            simple rater.
        against: The simple raters.
    """

    judge: str
    sentences: Sequence[str]
    agreement: Metric
    max_risk: float
    bad: float | None
    coverage: Metric
    score_length: Metric
    rating_length: Metric
    beats: str | None
    against: Sequence[Against]

    @property
    def rivals(self) -> str:
        """The simple raters that it was compared with, as words."""
        return _and([one.rater for one in self.against if one.spearman is not None])

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON of the report."""
        return {name: plain(getattr(self, name)) for name in self.__slots__}


def summary_of(
    name: str, scores: Scores, found: Evaluation, against: Sequence[Against], max_risk: float
) -> Summary:
    """The summary of one judge.

    Args:
        name: What it is called.
        scores: Its scores.
        found: Their evaluation.
        against: Its comparison with simple raters.
        max_risk: Share of bad answers that is wanted at most, in (0, 1).
    """
    data = Columns.of(scores.rated, found.settings.good_at)
    coverage = metrics.coverage_at_risk(metrics.risk_coverage(data.score, ~data.good), max_risk)
    used = found.counts.used
    bad = 1 - found.counts.good / used if used else None
    sentences = [found.conclusion]
    if bad is not None:
        sentences.append(_accepting(coverage, bad, max_risk))
    sentences += [_on_length(found), *_on_rivals(against)]
    return Summary(
        name,
        [sentence for sentence in sentences if sentence],
        found.headline.spearman,
        max_risk,
        bad,
        coverage,
        found.length.score_length,
        found.length.rating_length,
        verdict(against) if against else None,
        against,
    )


def _accepting(coverage: Metric, bad: float, max_risk: float) -> str:
    most, share = percent(max_risk), coverage.value or 0.0
    if share == 1:
        return f"{percent(bad)} of these answers are bad, so all can be accepted at {most} risk."
    if share < LEAST:
        return (
            f"{percent(bad)} of these answers are bad, and no threshold that accepts at least "
            f"{percent(LEAST)} of them leaves at most {most} bad ones."
        )
    return (
        f"{percent(bad)} of these answers are bad. Of the {percent(share)} with the highest "
        f"scores, at most {most} are."
    )


def _on_length(found: Evaluation) -> str:
    own, theirs = found.length.score_length, found.length.rating_length
    if own.value is None or own.interval is None:
        return ""
    low, high = own.interval.low, own.interval.high
    numbers = f"(Spearman {own.value:.2f}, {low:.2f} to {high:.2f}"
    numbers += ")" if theirs.value is None else f"; for the ratings it is {theirs.value:.2f})"
    if low <= 0 <= high:
        return f"It is not shown that the scores depend on answer length {numbers}."
    which = "Longer" if low > 0 else "Shorter"
    return f"{which} answers get higher scores {numbers}."


def _on_rivals(against: Sequence[Against]) -> list[str]:
    compared = [one for one in against if one.spearman is not None]
    beaten = [one.rater for one in compared if one.beaten == YES]
    better = [one.rater for one in compared if one.beaten == NO]
    found = []
    if beaten:
        found.append(f"On this set, the judge beats {_and(beaten)}.")
    if better:
        found.append(f"On this set, {_and(better)} {'agrees' if len(better) == 1 else 'agree'} "
                     "better with the ratings than the judge.")  # fmt: skip
    found += [
        f"These answers cannot say whether it beats {one.rater}: {one.reason}."
        for one in compared
        if one.rater not in (*beaten, *better)
    ]
    found += [
        f"It was not compared with {one.rater}: {one.reason}."
        for one in against
        if one.spearman is None
    ]
    return found


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)
