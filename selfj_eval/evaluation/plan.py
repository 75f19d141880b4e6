"""The verb `plan`: which answers to rate, with what chance, and how much they will tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selfj_eval.errors import DataError, printable, shown
from selfj_eval.evaluation.options import RatingOptions
from selfj_eval.evaluation.planning import (
    DESIGNS,
    Units,
    choose_units,
    expected_width,
    labels_for,
    pilot_of,
    uncertainty_of,
)
from selfj_eval.files.atomic import check_output
from selfj_eval.jobs.options import PathLike, keywords, option
from selfj_eval.jobs.results import Result, table
from selfj_eval.judging.distributions import probabilities_of
from selfj_eval.judging.scored import Scored, Scores, as_scores, groups
from selfj_eval.metrics.prediction_powered import FEWEST_LABELS
from selfj_eval.records.writing import TableOptions, write_rows

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike

CORRELATIONS = (0.0, 0.3, 0.5, 0.7)
"""Of scores and ratings, for which widths are shown where no pilot says more."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions(RatingOptions, TableOptions):
    """Which answers are to be rated."""

    budget: int | None = option(None, "how many answers to rate", low=1, placeholder="N")
    width: float | None = option(
        None,
        "rate as many as the interval of the mean rating needs to be no wider than W, in the "
        "ratings' unit",
        placeholder="W",
    )
    design: str = option(
        "random",
        "random: each answer has the same chance; stratified: the same, and each fifth of the "
        "scores gets its part; active: answers about which the judge is uncertain have a higher "
        "chance",
        DESIGNS,
    )
    models: tuple[str, ...] | None = option(
        None,
        "the names of two answering models, separated by a comma: choose instructions, and rate "
        "the answers of both",
        placeholder="NAMES",
    )
    output: PathLike | None = option(
        None,
        "file to rate in: .csv, .jsonl, .json or .parquet (default: SCORES.plan.csv)",
        placeholder="FILE",
    )
    seed: int = option(0, "seed of the choice", low=0)

    def check(self) -> None:
        """Refuse what does not go together."""
        RatingOptions.check(self)
        if (self.budget is None) == (self.width is None):
            raise DataError("give `budget` (how many ratings) or `width` (of the interval).")
        if self.width is not None and not self.width > 0:
            raise DataError(f"`width` must be above 0, got {self.width:g}.")
        if self.models is not None and not len(self.models) == len(set(self.models)) == 2:
            raise DataError("`models` takes the names of two different answering models.")


@dataclass(frozen=True, slots=True)
class Expected:
    """What an interval of the mean rating is expected to be.

    Attributes:
        correlation: Of scores and ratings.
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
        design: How they were chosen.
        rated: Answers of the pilot, which are in the file with their ratings.
        chosen: Answers to rate.
        deviation: Standard deviation of the ratings: of the pilot, or assumed.
        confidence: Level of the interval.
        expected: Widths of its interval: one for the pilot's correlation, several without a pilot.
        piloted: Whether a pilot said so.
        output: The file, or None.
        warnings: What speaks against the plan, as sentences.
        planned: The rows of the file.
    """

    answers: int
    unscored: int
    instructions: int | None
    design: str
    rated: int
    chosen: int
    deviation: float
    confidence: float
    expected: Sequence[Expected]
    piloted: bool
    output: str | None
    warnings: Sequence[str]
    planned: Sequence[Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the JSON that the command prints."""
        found = super().to_dict()
        del found["planned"]
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The answers to rate, as they are in the file."""
        return [dict(row) for row in self.planned]

    def __str__(self) -> str:
        of = "" if self.instructions is None else f" to {self.instructions:,} instructions"
        pilot = f"; {self.rated:,} are rated already" if self.rated else ""
        lines = [f"{self.chosen:,} of {self.answers:,} answers{of} to rate ({self.design}){pilot}"]
        lines += [f"  note: {shown(warning)}" for warning in self.warnings]
        level = f"{100 * self.confidence:g} %"
        how = "measured on the pilot" if self.piloted else "assumed"
        lines.append(
            f"  expected width of the {level} interval of the mean rating, with a standard "
            f"deviation of {self.deviation:.2f} ({how}):"
        )
        rows = [("correlation of score and rating", "width")]
        rows += [(f"{e.correlation:.2f}", f"{e.width:.2f}") for e in self.expected]
        lines.append(table(rows))
        if self.output is not None:
            lines.append(f"  fill in the column `rating` of {self.output}, from the top")
        return "\n".join(lines)


def plan_ratings(scores: ScoresLike, options: PlanOptions) -> Plan:
    """Choose answers to rate, and write them into a file without scores or models' names.

    Every answer is chosen with a known probability, ``inclusion``, which ``estimate`` reads from
    the file when the ratings are in. The rows are in random order: whoever stops early has still
    rated a random part.

    Args:
        scores: Scored answers, as for ``evaluate``. Ratings in it or in ``ratings`` are a pilot, a
            random part: it says what widths to expect, and is in the file with its ratings.

    Raises:
        DataError: If the scores cannot be read, there are fewer answers than ``budget``, no number
            of answers reaches ``width``, or for ``active`` the judge's distributions are missing.
        StoreError: If the file cannot be written.
    """
    read = as_scores(scores, ratings=options.ratings, scale=options)
    output = _output(read, scores, options)
    answers = _scored(read, options)
    units = Units.of(answers, options.models)
    pilot = pilot_of(units)
    deviation = units.assumed_deviation if pilot is None else pilot.deviation
    correlations = CORRELATIONS if pilot is None else (pilot.correlation,)
    before = int(units.rated.sum())
    count = _count(options, units, deviation, correlations[0])
    unsure = None
    if options.design == "active":
        unsure = uncertainty_of(units, probabilities_of(scores))
    sample = choose_units(units, count, options.design, unsure, options.seed)
    order = np.random.default_rng(options.seed).permutation(sample.chosen)
    rows = [
        _row(answer, float(sample.inclusion[at]))
        for at in (*np.flatnonzero(units.rated), *order)
        for answer in units.members[at]
    ]
    if output is not None:
        write_rows(output, rows, safe_csv=options.safe_csv)
    labels = before + count
    number = groups(answers)
    each = len(units.members[0])
    return Plan(
        answers=len(answers),
        unscored=len(read.answers) - len(answers) if options.models is None else 0,
        instructions=None if number is None else len(np.unique(number)),
        design=options.design,
        rated=each * before,
        chosen=each * count,
        deviation=deviation,
        confidence=options.confidence,
        expected=[
            Expected(r, expected_width(labels, units, deviation, r, options.confidence))
            for r in correlations
            if labels >= FEWEST_LABELS
        ],
        piloted=pilot is not None,
        output=None if output is None else printable(output),
        warnings=read.warnings,
        planned=rows,
    )


plan = keywords(plan_ratings, PlanOptions)


def _output(scores: Scores, given: ScoresLike, options: PlanOptions) -> Path | None:
    """The file to write; None for scores in memory without a name for it."""
    output = options.output
    if output is None and isinstance(given, str | Path):
        path = Path(scores.path)
        output = path.with_name(f"{path.name}.plan.csv")
    if output is None:
        return None
    checked = check_output(output, inputs=(given, options.ratings))
    options.check_csv(checked)
    return checked


def _scored(scores: Scores, options: PlanOptions) -> list[Scored]:
    """The answers to choose from, by id."""
    found = [
        a for a in scores.answers
        if a.score is not None and (options.models is None or a.model in options.models)
    ]  # fmt: skip
    if not found:
        names = "" if options.models is None else f" by {' or '.join(options.models)}"
        raise DataError(f"holds no scored answer{names}.", path=scores.path, field="score")
    return sorted(found, key=lambda a: a.id)


def _count(options: PlanOptions, units: Units, deviation: float, correlation: float) -> int:
    """How many units to choose besides the pilot."""
    what = "answers" if options.models is None else "instructions that both models answered"
    before, there = int(units.rated.sum()), len(units.members)
    if options.budget is not None:
        count = options.budget if options.models is None else options.budget // 2
        if not 1 <= count <= there - before:
            raise DataError(
                f"`budget` is {options.budget}, but there are {there - before} {what} without a "
                "rating" + ("." if options.models is None else ", with two answers each.")
            )
        return count
    assert options.width is not None
    needed = labels_for(options.width, units, deviation, correlation, options.confidence)
    if needed is None:
        least = expected_width(there, units, deviation, correlation, options.confidence)
        raise DataError(
            f"`width` is {options.width:g}, but {least:.2g} is the least to be had with all "
            f"{there} {what}; ask for a wider interval, or score more instructions."
        )
    if needed <= before:
        raise DataError(
            f"the {before} ratings that are there should do for a width of {options.width:g}; see "
            "what `selfj estimate` says."
        )
    return needed - before


def _row(answer: Scored, inclusion: float) -> dict[str, Any]:
    """What whoever rates sees: neither score nor model."""
    row: dict[str, Any] = {"id": answer.id, "instruction": answer.question}
    row["response"] = answer.response
    row["reference"] = answer.reference
    row["rating"] = answer.rating
    row["rating_min"], row["rating_max"] = answer.rating_min, answer.rating_max
    row["inclusion"] = inclusion
    return row
