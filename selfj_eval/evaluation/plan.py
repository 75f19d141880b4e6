"""The verb `plan`: which answers to rate, with what chance, and how much they will tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selfj_eval.errors import DataError, StoreError, counted, printable
from selfj_eval.evaluation.likeness import left_out, likeness_of, unlikely
from selfj_eval.evaluation.options import RatingOptions
from selfj_eval.evaluation.partly_rated import check_models
from selfj_eval.evaluation.planned import Expected, Plan
from selfj_eval.evaluation.planning import (
    DESIGNS,
    Units,
    check_pilot,
    choose_units,
    expected_width,
    pilot_of,
    ratings_for,
    uncertainty_of,
)
from selfj_eval.files.atomic import check_output
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.jobs.options import PathLike, keywords, like, option
from selfj_eval.judging.distributions import distributions_of
from selfj_eval.judging.scored import Scored, Scores, as_scores, groups
from selfj_eval.metrics.prediction_powered import FEWEST_LABELS
from selfj_eval.records.options import ScaleOptions
from selfj_eval.records.reading import iter_rows
from selfj_eval.records.writing import TableOptions, write_rows

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike

CORRELATIONS = (0.0, 0.3, 0.5, 0.7)
"""Of scores and ratings, for which widths are shown where no pilot says more."""
_RANDOM_PILOT = "A pilot must be a random part: plan with such ratings, or with none"


@dataclass(frozen=True, kw_only=True)
class PlanOptions(ScaleOptions, TableOptions):
    """Which answers are to be rated."""

    ratings: str | Path | Iterable[Mapping[str, Any]] | None = option(
        None,
        "a pilot: ratings by id of a random part of the answers; texts are also taken from this "
        "file",
        placeholder="FILE",
    )
    confidence: float = like(RatingOptions, "confidence")
    budget: int | None = option(None, "how many answers to rate", low=1, placeholder="N")
    width: float | None = option(
        None,
        "rate enough answers for an interval no wider than W, in the unit of the ratings",
        placeholder="W",
    )
    design: str = option(
        "random",
        "random: each answer has the same chance; stratified: the same, with an equal part from "
        "each fifth of the scores; active: answers about which the judge is uncertain have a "
        "higher chance",
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
        "file to rate in: .csv, .jsonl, .json or .parquet (default: SCORES.plan.csv); a file with "
        "ratings is never overwritten",
        placeholder="FILE",
    )
    seed: int = option(0, "seed of the choice", low=0)

    def check(self) -> None:
        """Refuse what does not go together."""
        ScaleOptions.check(self)
        self.need_share("confidence")
        if (self.budget is None) == (self.width is None):
            message = (
                "give either `budget` (how many answers to rate) or `width` (of the interval)."
            )
            raise DataError(message)
        if self.width is not None and not self.width > 0:
            raise DataError(f"`width` must be above 0, got {self.width:g}.")
        if self.models is not None and not len(self.models) == len(set(self.models)) == 2:
            raise DataError("`models` takes the names of two different answering models.")
        if self.models is not None and self.budget == 1:
            message = "`budget` is 1; for two models it must be at least 2, an answer of each."
            raise DataError(message)


def plan_ratings(scores: ScoresLike, options: PlanOptions) -> Plan:
    """Choose answers to rate, and write them into a file without scores or models' names.

    Every answer is chosen with a known probability, ``inclusion``, which ``estimate`` reads from
    the file with the ratings. The rows are in random order: without a pilot, the ratings are a
    random part even if you stop early. With a pilot, whose rows come first, all must be rated.

    Args:
        scores: Scored answers, as for ``evaluate``. Ratings in it or in ``ratings`` are a pilot,
            which must be a random part: it shows what widths to expect, and is in the file with its
            ratings.

    Raises:
        DataError: If the scores cannot be read, there are fewer answers than ``budget``, no number
            of answers reaches ``width``, the rated answers had different chances (their
            ``inclusion``), or for ``active`` the judge's distributions are missing or wrong.
        StoreError: If the file cannot be written, or already exists and has ratings.
    """
    # An iterator can be read only once, and ``active`` reads the scores a second time.
    given: Any = list(scores) if isinstance(scores, Iterator) else scores
    own = as_scores(given, scale=options)
    read = own
    if options.ratings is not None:
        read = as_scores(own, ratings=options.ratings, scale=options)
    output = _output(read, given, options)
    check_models(read, options.models)
    answers, unscored = _scored(read, own, options)
    warnings = list(read.warnings)
    if options.models is None:
        units = Units.of(answers)
    else:
        units = Units.of_models(answers, options.models, warnings)
    check_pilot(units, read.ratings or read.path)
    members = [answer for unit in units.members for answer in unit]
    warnings += left_out(members, read.chosen)
    warnings += unlikely(likeness_of(members, read.chosen), _RANDOM_PILOT)
    pilot = pilot_of(units, warnings)
    deviation = units.assumed_deviation if pilot is None else pilot.deviation
    correlations = CORRELATIONS if pilot is None else (pilot.correlation,)
    before = int(units.rated.sum())
    count = _count(options, units, deviation, correlations[0])
    unsure = None
    if options.design == "active":
        found = distributions_of(given, own, options)
        by_id = {a.id: p for a, p in zip(own.answers, found, strict=True)}
        unsure = uncertainty_of(units, by_id, own.path)
    sample = choose_units(units, count, options.design, unsure, options.seed)
    order = np.random.default_rng(options.seed).permutation(sample.chosen)
    rows = [
        _row(answer, float(sample.inclusion[at]))
        for at in (*np.flatnonzero(units.rated), *order)
        for answer in units.members[at]
    ]
    if output is not None:
        write_rows(output, rows, safe_csv=options.safe_csv)
    ratings = before + count
    number = groups(members)
    each = len(units.members[0])
    return Plan(
        answers=len(members),
        unscored=unscored,
        instructions=None if number is None else len(np.unique(number)),
        models=options.models,
        design=options.design,
        rated=each * before,
        chosen=each * count,
        deviation=deviation,
        confidence=options.confidence,
        expected=[
            Expected(r, expected_width(ratings, units, deviation, r, options.confidence))
            for r in correlations
            if ratings >= FEWEST_LABELS
        ],
        piloted=pilot is not None,
        output=None if output is None else printable(output),
        warnings=warnings,
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
    if checked.exists():
        _refuse_ratings_in(checked)
    return checked


def _refuse_ratings_in(path: Path) -> None:
    """Whoever has rated in a file must not lose it to a second plan."""
    try:
        held = any(
            not is_missing(value) and str(value).strip()
            for value in (row.get("rating") for _, row in iter_rows(path))
        )
    except DataError as error:
        message = f"{printable(path)} already exists, and cannot be read to check whether it has "
        raise StoreError(f"{message}ratings. Name another `output`.") from error
    if held:
        raise StoreError(
            f"{printable(path)} holds ratings. Name another `output`; if they are a pilot, give "
            "this file as `ratings`."
        )


def _scored(scores: Scores, own: Scores, options: PlanOptions) -> tuple[list[Scored], int]:
    """The answers to choose from, by id, and how many have no score.

    Args:
        scores: With the ratings of the pilot.
        own: As they were without them.
        options: Those of the plan.
    """
    pairs = [
        pair
        for pair in zip(scores.answers, own.answers, strict=True)
        if options.models is None or pair[0].model in options.models
    ]
    ends = {(a.rating_min, a.rating_max) for a, _ in pairs if a.rating is not None}
    scale = options.scale or (ends.pop() if len(ends) == 1 else (None, None))
    found = [_with_scale(a, before, scale) for a, before in pairs if a.score is not None]
    if not found:
        raise DataError("holds no scored answer.", path=scores.path, field="score")
    return sorted(found, key=lambda a: a.id), len(pairs) - len(found)


def _with_scale(answer: Scored, before: Scored, scale: tuple[float | None, float | None]) -> Scored:
    """An answer to rate with the scale on which it is rated: its own, else the one of the others.

    The ratings of a pilot replace those in the file of scores, and take away the scales there.
    """
    if answer.rating is not None:
        return answer
    own = (before.rating_min, before.rating_max)
    low, high = scale if own == (None, None) else own
    return replace(answer, rating_min=low, rating_max=high)


def _count(options: PlanOptions, units: Units, deviation: float, correlation: float) -> int:
    """How many units to choose besides the pilot."""
    one, more = "answer", ""
    if options.models is not None:
        one, more = "instruction", " that both models answered"
    what = f"{one}s{more}"
    before, there = int(units.rated.sum()), len(units.members)
    left = there - before
    if not left:
        raise DataError(f"all {there:,} {what} are rated: nothing to plan.")
    if options.budget is not None:
        count = options.budget if options.models is None else options.budget // 2
        if count > left:
            some = f"{counted(left, one)}{more} {'has' if left == 1 else 'have'}"
            each = "" if options.models is None else ", with two answers each"
            raise DataError(f"`budget` is {options.budget}, but only {some} no rating{each}.")
        return count
    assert options.width is not None
    if there < FEWEST_LABELS:
        only = f"{'is' if there == 1 else 'are'} only {counted(there, one)}{more}"
        message = f"there {only}; an interval needs ratings of {FEWEST_LABELS}."
        raise DataError(message)
    needed = ratings_for(options.width, units, deviation, correlation, options.confidence)
    if needed is None:
        least = expected_width(there, units, deviation, correlation, options.confidence)
        raise DataError(
            f"`width` is {options.width:g}, but the interval is about {least:.2g} wide even if all "
            f"{there} {what} are rated. Ask for a wider interval, or score more instructions."
        )
    if needed <= before:
        raise DataError(
            f"{before} {what} are rated already, which should be enough for a width of "
            f"{options.width:g}. Run `selfj estimate` on these ratings."
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
