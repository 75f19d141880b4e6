"""All results about one judge on one set of rated answers."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from selfj_eval import __version__, metrics
from selfj_eval.errors import counted
from selfj_eval.evaluation import agreement, decision_metrics
from selfj_eval.evaluation.binary import binary, warnings_on_correction
from selfj_eval.evaluation.columns import UNKNOWN_SCALE, Columns
from selfj_eval.evaluation.options import BootstrapOptions, EvaluateOptions, VerdictOptions
from selfj_eval.evaluation.rater_agreement import RaterColumns, rater_agreement
from selfj_eval.evaluation.rendering import write_csv
from selfj_eval.evaluation.result import Counts, Evaluation, EvaluationSettings, Provenance
from selfj_eval.files.atomic import check_output
from selfj_eval.jobs.options import keywords
from selfj_eval.jobs.progress import steps
from selfj_eval.jobs.tracking import tracked
from selfj_eval.judging.scored import Scores, as_scores, groups
from selfj_eval.metrics.bootstrap import evaluations
from selfj_eval.metrics.result import FEWEST_UNITS

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike


def work(scores: Scores, options: BootstrapOptions) -> int:
    """How many bootstrap evaluations ``evaluated`` makes."""
    rated = scores.rated
    return evaluations(len(rated), groups(rated), options.resamples)


def evaluate_scores(scores: ScoresLike, options: EvaluateOptions) -> Evaluation:
    """Measure how well scores agree with ratings, and how well they find poor answers.

    Args:
        scores: Scored answers, of which some have ratings: what ``score`` gave or wrote, a file
            (.jsonl, .json, .csv, .parquet) with ``id`` and ``score``, lm-eval's
            ``samples_*.jsonl`` of a ``selfj_judge_*`` task, or rows in memory.

    Raises:
        DataError: If they cannot be read, ``good_at`` lies outside the ratings, or the package for
            ``log`` is missing.
        StoreError: If the CSV table cannot be written, or nothing can be logged.
    """
    if options.csv is not None:
        check_output(options.csv, formats=(".csv",), inputs=(scores, options.ratings))
    read = as_scores(scores, ratings=options.ratings, scale=options)
    with tracked(options.log, "selfj eval") as log:
        with steps(options.progress, work(read, options), "evaluated", "resample") as progress:
            result = evaluated(read, options, progress)
        if options.csv is not None:
            write_csv(Path(options.csv), result)
        about = {"judge": result.judge, "scores": read.path, "ratings": read.ratings}
        log(result, numbers=_headline(result), about=about, files=[options.csv])
    return result


def _headline(result: Evaluation) -> dict[str, float | None]:
    """The headline metrics with the ends of their intervals, and what they were computed on."""
    found: dict[str, float | None] = {}
    for name, metric in result.headline._asdict().items():
        found |= {name: metric.value, f"{name}_low": metric.low, f"{name}_high": metric.high}
    return found | {"used": result.counts.used, "unscored": result.counts.unscored}


evaluate = keywords(evaluate_scores, EvaluateOptions)


def evaluated(
    scores: Scores, options: VerdictOptions, progress: Callable[[int], None] = lambda _: None
) -> Evaluation:
    """Evaluate one judge; ``progress`` is told how many bootstrap evaluations are done.

    Raises:
        DataError: If ``good_at`` lies outside the ratings.
    """
    data = Columns.of(scores.rated, options.good_at)
    data.check_good_at(options.good_at, scores.ratings or scores.path)
    drawing = agreement.Drawing(options.resamples, options.confidence, options.seed)
    raters = RaterColumns.of(data)
    verdicts = binary(
        *(scores, data, options.judged_good_at, options.confidence),
        instead=", or give one as `judged_good_at`",
    )
    by_category = agreement.by(data, "category", options.confidence)
    by_model = agreement.by(data, "model", options.confidence)
    notes = [
        *warnings_on(scores, data),
        *([] if raters is None else raters.warnings()),
        *warnings_on_correction(verdicts, data),
    ]
    return Evaluation(
        judge=scores.name,
        counts=_counts(scores, data),
        warnings=[*scores.warnings, *notes],
        settings=EvaluationSettings(
            options.good_at,
            options.confidence,
            options.resamples,
            options.seed,
            "0 to 9" if data.scaled else "the ratings' own scale",
            "records" if data.group is None else "instructions",
        ),
        headline=metrics.headline_intervals(
            *(data.score, data.rating, data.good),
            group=data.group,
            progress=progress,
            **drawing._asdict(),
        ),
        correlation=agreement.correlation(data, options.confidence),
        pairwise=agreement.pairwise(data, drawing),
        by_category=by_category,
        by_model=by_model,
        mean_over_categories=agreement.mean_over(data, "category", by_category, options.confidence),
        mean_over_models=agreement.mean_over(data, "model", by_model, options.confidence),
        models=agreement.models(data, drawing),
        selective=decision_metrics.selective(data, drawing),
        calibration=decision_metrics.calibration(data),
        length=agreement.length(data, options.confidence),
        distribution=decision_metrics.distribution(data),
        binary=verdicts,
        raters=rater_agreement(data, raters, scores.run, drawing),
        provenance=provenance(scores),
    )


def provenance(scores: Scores) -> Provenance:
    """Where the numbers come from: files, how the scores were made, versions here."""
    names = ("numpy", "scipy", "scikit-learn")
    return Provenance(
        scores.path,
        scores.sha256,
        scores.ratings,
        dict(scores.run) or None,
        {"selfj-eval": __version__, "python": platform.python_version()}
        | {name: version(name) for name in names},
    )


def _counts(scores: Scores, data: Columns) -> Counts:
    scored = sum(a.score is not None for a in scores.answers)
    return Counts(
        records=len(scores.answers),
        scored=scored,
        unscored=len(scores.answers) - scored,
        rated=sum(a.rating is not None for a in scores.answers),
        used=len(data.answers),
        good=int(data.good.sum()),
        instructions=0 if data.group is None else len(np.unique(data.group)),
    )


def warnings_on(scores: Scores, data: Columns) -> list[str]:
    """What a reader of numbers on these answers has to know, as sentences."""
    found = []
    n = len(scores.answers)
    unscored = [a for a in scores.answers if a.score is None]
    if unscored:
        verb = "is" if len(unscored) == 1 else "are"
        reason = f"{unscored[0].id}: {unscored[0].error}"
        found.append(
            f"{len(unscored):,} of {counted(n, 'answer')} {verb} unscored and skipped; first "
            f"{reason}"
        )
    unrated = sum(a.rating is None for a in scores.answers)
    if unrated:
        none = unrated == n and scores.ratings is None
        hint = "; give a file of them as `ratings`" if none else ""
        verb = "has" if unrated == 1 else "have"
        found.append(f"{unrated:,} of {counted(n, 'answer')} {verb} no rating{hint}")
    if (None, None) in data.scales:
        found.append(UNKNOWN_SCALE)
    if len(data.scales) > 1:
        how = (
            "were rescaled to 0 to 9" if data.scaled else "are used unchanged: give them one scale"
        )
        found.append(f"the ratings have {len(data.scales)} different scales and {how}")
    return [*found, *few_units(data)]


def few_units(data: Columns) -> list[str]:
    """A warning where the bootstrap has little to draw from."""
    drawn, unit = len(data.answers), "answer"
    if data.group is not None:
        drawn, unit = len(np.unique(data.group)), "instruction"
    return too_few(drawn, unit)


def too_few(drawn: int, unit: str) -> list[str]:
    """A warning where there are so few units, but some."""
    if not 0 < drawn < FEWEST_UNITS:
        return []
    return [f"only {counted(drawn, unit)}: too few for reliable intervals"]
