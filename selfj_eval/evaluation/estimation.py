"""What `estimate` found: every estimate beside what ratings or scores alone would say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfj_eval.errors import counted, shown
from selfj_eval.evaluation.result import Binary
from selfj_eval.jobs.results import Result, plain, table
from selfj_eval.metrics.prediction_powered import Powered

KIND = "selfj-estimate"


@dataclass(frozen=True, slots=True)
class Estimate:
    """One quantity.

    Attributes:
        quantity: ``mean rating``, ``share good``, ``difference`` or ``win rate``.
        combined: From ratings and scores together.
        ratings_only: From the ratings alone.
        scores_only: What the scores alone say, which nothing guarantees. None unless the run file
            says that they are a judge's, on 0 to 9; a win rate always has it.
    """

    quantity: str
    combined: Powered
    ratings_only: Powered
    scores_only: float | None = None

    @property
    def gain(self) -> float | None:
        """So many times as many labels the ratings alone would need, or None."""
        effective = self.combined.effective_labels
        return None if effective is None else effective / self.combined.labels


@dataclass(frozen=True, slots=True)
class Likeness:
    """Whether the rated answers are like those without a rating in a value.

    Where answers had different chances of being rated, the others are those that were chosen for
    rating and have none.

    Attributes:
        value: ``score`` or ``length``.
        rated, others: Means.
        p: Two-sided p-value of "the rated answers are a random part", clustered by instruction;
            None where it is undefined.
    """

    value: str
    rated: float
    others: float
    p: float | None


@dataclass(frozen=True)
class Estimation(Result):
    """What many scores and few ratings say about all answers.

    Attributes:
        judge: Whose scores they are.
        models: The two models that are compared, or None.
        answers: Scored answers that the estimates are about.
        unscored: Answers without a score, which are not among them.
        labels: Rated answers among them.
        instructions, labelled_instructions: Distinct questions; None where texts are missing.
        scale: Of the means: ends of the ratings' scale, or None where it is not known.
        good_at: Lowest good rating.
        confidence: Level of all intervals.
        predictors: What predicts a rating: ``score``, or the names of the columns.
        estimates: Of all answers; of two models, if two were named.
        by_model: Mean rating of each model that has at least ten labels.
        binary: The judge's verdicts, with the share of good answers that they suggest (Rogan and
            Gladen's correction); None for two models, and where answers were chosen for rating with
            different probabilities.
        likeness: Tests of whether the rated answers are like the others; empty where there are no
            others to compare.
        warnings: What speaks against the estimates, as sentences.
    """

    judge: str
    models: Sequence[str] | None
    answers: int
    unscored: int
    labels: int
    instructions: int | None
    labelled_instructions: int | None
    scale: tuple[float, float] | None
    good_at: float
    confidence: float
    predictors: Sequence[str]
    estimates: Sequence[Estimate]
    by_model: Mapping[str, Estimate]
    binary: Binary | None
    likeness: Sequence[Likeness]
    warnings: Sequence[str]

    @property
    def conclusion(self) -> str:
        """The first estimate as a sentence, and as how many ratings alone it is as precise."""
        first = self.estimates[0]
        found = first.combined
        if found.value is None or found.interval is None:
            reason = shown(found.undefined)
            return f"{reason[:1].upper()}{reason[1:]}."
        low, high = found.interval.low, found.interval.high
        if self.models is None:
            value = _with_ends(found.value, low, high)
            sentence = f"The mean rating of all answers is about {value}"
        else:
            sentence = _of_two(self.models, found.value, low, high)
        if found.effective_labels is None:
            return f"{sentence}."
        worth = f"{found.effective_labels:,.0f} ratings without the scores"
        return f"{sentence}. That is as precise as {worth}."

    @property
    def correction(self) -> str | None:
        """The share of good answers by the judge's verdicts, and when to use it, as sentences."""
        if self.binary is None or not self.binary.unrated:
            return None
        found, by = self.binary.corrected, "By the judge's verdicts, corrected for its errors"
        if found.value is None:
            return f"{by} (Rogan-Gladen), nothing can be said: {found.undefined}."
        ends = "" if found.low is None else f" ({found.low:.3f} to {found.high:.3f})"
        return (
            f"{by} (Rogan-Gladen), {found.value:.3f}{ends} of the {found.n:,} answers without a "
            "rating are good. This is valid if the judge errs as often on them as on the rated "
            "answers; the share of good answers may differ. If the rated answers are a random "
            "part, use `share good`: its interval is usually narrower."
        )

    def to_dict(self) -> dict[str, Any]:
        """The result as the JSON that the command prints."""
        found: dict[str, Any] = plain(vars(self))
        said = {"conclusion": self.conclusion, "correction": self.correction}
        return {"kind": KIND, **said, **found}

    def rows(self) -> list[dict[str, Any]]:
        """One row per estimate."""
        named = [("all", e) for e in self.estimates] + list(self.by_model.items())
        return [
            {"answers": name, "quantity": e.quantity, **_cells(e.combined)}
            | {"ratings_only": e.ratings_only.value, "scores_only": e.scores_only}
            for name, e in named
        ]

    def __str__(self) -> str:
        of = (
            ""
            if self.labelled_instructions is None
            else f", on {self.labelled_instructions:,} of "
            + counted(self.instructions or 0, "instruction")
        )
        parts = [
            f"{shown(self.judge)}: {counted(self.answers, 'scored answer')}, {self.labels:,} of "
            f"them rated{of}; {counted(self.unscored, 'unscored answer')} skipped"
        ]
        parts += [f"  note: {shown(warning)}" for warning in self.warnings]
        if len(self.predictors) > 1:
            parts.append(f"  ratings are predicted by: {', '.join(self.predictors)}")
        parts += ["", self.conclusion, "", self._table("", {e.quantity: e for e in self.estimates})]
        named = [(e.quantity, e) for e in self.estimates[1:]] + list(self.by_model.items())
        known = self.estimates[0].combined.undefined  # the conclusion says it
        parts += [
            f"  {shown(name)}: {shown(e.combined.undefined)}"
            for name, e in named
            if e.combined.undefined not in (None, known)
        ]
        if self.correction is not None:
            parts += ["", self.correction]
        if self.by_model:
            parts += ["", self._table("mean rating by model", self.by_model)]
        return "\n".join(parts)

    def _table(self, title: str, estimates: Mapping[str, Estimate]) -> str:
        level = f"{100 * self.confidence:g} % interval"
        rows = [
            (title, "estimate", level, "ratings only", level, "scores only", "ratings", "worth")
        ]
        for name, e in estimates.items():
            worth = e.combined.effective_labels
            rows.append(
                (
                    name[:40],
                    _number(e.combined.value),
                    _interval(e.combined),
                    _number(e.ratings_only.value),
                    _interval(e.ratings_only),
                    _number(e.scores_only),
                    f"{e.combined.labels:,}",
                    "-" if worth is None else f"{worth:,.0f}",
                )
            )
        return table(rows)


def _cells(found: Powered) -> dict[str, Any]:
    interval = found.interval
    return {
        "value": found.value,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "labels": found.labels,
        "effective_labels": found.effective_labels,
        "undefined": found.undefined,
    }


def _with_ends(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _of_two(models: Sequence[str], value: float, low: float, high: float) -> str:
    """Which of two models is rated higher, and by how much, as a sentence without a full stop."""
    first, second = map(shown, models)
    if low > 0:
        return f"{first} is rated higher than {second}, by {_with_ends(value, low, high)}"
    if high < 0:
        return f"{second} is rated higher than {first}, by {_with_ends(-value, -high, -low)}"
    return (
        f"These ratings do not show whether {first} or {second} is rated higher: the difference is "
        f"{_with_ends(value, low, high)}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(found: Powered) -> str:
    if found.interval is None:
        return "-"
    return f"{found.interval.low:.3f} to {found.interval.high:.3f}"
