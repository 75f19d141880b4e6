"""What `plan` returns: which answers to rate, and how much they will tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfj_eval.errors import counted, shown
from selfj_eval.jobs.results import Result, table
from selfj_eval.metrics.prediction_powered import FEWEST_LABELS


@dataclass(frozen=True, slots=True)
class Expected:
    """What an interval is expected to be.

    Attributes:
        correlation: Of scores and ratings; with two models, of their differences.
        width: Of the interval, in the ratings' unit.
    """

    correlation: float
    width: float


@dataclass(frozen=True)
class Plan(Result):
    """Which answers to rate.

    Attributes:
        answers: Scored answers to choose from.
        unscored: Answers without a score, which cannot be chosen.
        instructions: Distinct questions among them; None where texts are missing.
        models: The two models to compare; None where the mean rating of all answers is estimated.
        design: How they were chosen.
        rated: Answers of the pilot, which are in the file with their ratings.
        chosen: Answers to rate.
        deviation: Standard deviation of the ratings: of the pilot, or assumed. With two models, of
            the difference of their ratings.
        confidence: Level of the interval.
        expected: Widths of the interval of the mean rating, or of the difference of the two
            models' means: one for the pilot's correlation, several without a pilot, none with
            fewer than ten ratings.
        piloted: Whether deviation and correlation were measured on a pilot.
        output: The file, or None.
        warnings: What speaks against the plan, as sentences.
        planned: The rows of the file.
    """

    answers: int
    unscored: int
    instructions: int | None
    models: Sequence[str] | None
    design: str
    rated: int
    chosen: int
    deviation: float
    confidence: float
    expected: Sequence[Expected]
    piloted: bool
    output: str | None
    warnings: Sequence[str]
    planned: Sequence[Mapping[str, Any]] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the JSON that the command prints."""
        found = super().to_dict()
        del found["planned"]
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The answers to rate, as they are in the file."""
        return [dict(row) for row in self.planned]

    def __str__(self) -> str:
        both = None if self.models is None else " and ".join(map(shown, self.models))
        by = "" if both is None else f" by {both}"
        number = self.instructions
        to = "" if number is None else f" to {counted(number, 'instruction')}"
        of = f"{counted(self.answers, 'answer')}{by}{to}"
        if self.rated:
            are = "is" if self.rated == 1 else "are"
            more = counted(self.chosen, "more answer")
            lines = [f"Rate {more} ({self.rated:,} of {of} {are} rated; {self.design})."]
        else:
            lines = [f"Rate {self.chosen:,} of {of} ({self.design})."]
        if self.unscored:
            lines.append(f"  {counted(self.unscored, 'answer')} skipped: no score.")
        lines += [f"  note: {shown(warning)}" for warning in self.warnings]
        lines.append(self._widths(both))
        if self.output is not None:
            fill = f"  Fill in the column `rating` of {self.output}"
            lines.append(
                f"{fill}. Rate all rows: the probabilities in `inclusion` hold for all together."
                if self.rated
                else f"{fill}, from the top. You may stop early: the order is random."
            )
        return "\n".join(lines)

    def _widths(self, both: str | None) -> str:
        """The table of expected widths."""
        if not self.expected:
            unit = "answers" if both is None else "instructions, two answers each"
            return (
                f"  No interval is expected: it needs ratings of at least {FEWEST_LABELS} {unit}."
            )
        level = f"{100 * self.confidence:g} %"
        how = "measured on the pilot" if self.piloted else "assumed"
        if both is None:
            what, correlation = "of the mean rating", "correlation of score and rating"
            spread = "ratings"
        else:
            what = f"of the difference of the mean ratings of {both}"
            correlation = "correlation of the differences in score and in rating"
            spread = "differences"
        rows = [(correlation, "width")]
        rows += [(f"{e.correlation:.2f}", f"{e.width:.2f}") for e in self.expected]
        return (
            f"  Expected width of the {level} interval {what}, if the {spread} have a standard "
            f"deviation of {self.deviation:.2f} ({how}):\n{table(rows)}"
        )
