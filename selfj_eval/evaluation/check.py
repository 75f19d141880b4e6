"""The verb `check`: whether scores keep requirements, for pipelines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from selfj_eval import metrics
from selfj_eval.errors import DataError, counted
from selfj_eval.evaluation.baseline import against_baseline, missing_answers
from selfj_eval.evaluation.check_files import write_junit, write_markdown
from selfj_eval.evaluation.checked import Check, Outcome
from selfj_eval.evaluation.evaluate import evaluated, too_few, work
from selfj_eval.evaluation.options import VerdictOptions
from selfj_eval.evaluation.requirements import (
    DIFFERENCE,
    MEAN_SCORE,
    MISSING,
    UNSCORED,
    Requirement,
    metrics_of,
    read_requirement,
    unknown,
)
from selfj_eval.files.atomic import check_output
from selfj_eval.jobs.options import OptionError, PathLike, keywords, option
from selfj_eval.jobs.progress import steps
from selfj_eval.judging.scored import Scored, Scores, as_scores, groups
from selfj_eval.metrics import Metric
from selfj_eval.metrics.paired_means import PairedDifference, needed_instructions
from selfj_eval.metrics.proportions import quantile

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike


@dataclass(frozen=True, kw_only=True)
class CheckOptions(VerdictOptions):
    """What is required of scores."""

    require: Sequence[str] = option(
        (),
        "a metric and its bound, such as 'spearman>=0.5' (in quotes); may be repeated",
        placeholder="REQUIREMENT",
    )
    baseline: str | Path | Scores | Iterable[Mapping[str, Any]] | None = option(
        None,
        "scores of an earlier version's answers to the same instructions, by the same judge",
        placeholder="FILE",
    )
    no_worse: float | None = option(
        None,
        "require that the mean score is at most D points below that of `baseline`",
        low=0,
        placeholder="D",
    )
    point: bool = option(
        False,
        "compare the values themselves with the bounds, instead of the ends of their intervals",
    )
    model: str | None = option(None, "only answers by this model", placeholder="NAME")
    category: str | None = option(None, "only answers of this category", placeholder="NAME")
    junit: PathLike | None = option(
        None,
        "also write a JUnit report (.xml) with a test case per requirement",
        placeholder="FILE",
    )
    markdown: PathLike | None = option(
        None, "also write a Markdown summary (.md), for the page of a pipeline run",
        placeholder="FILE",
    )  # fmt: skip

    def check(self) -> None:
        """Refuse requirements that cannot be read, and none at all."""
        super().check()
        named = {read_requirement(text).metric for text in self.require}
        if (self.baseline is None) is not (self.no_worse is None):
            raise DataError("`baseline` and `no_worse` go together; give both or neither.")
        if not self.require and self.baseline is None:
            raise DataError("nothing is required; give `require`, or `baseline` and `no_worse`.")
        if MISSING in named and self.baseline is None:
            message = (
                f"names {MISSING!r}, which is about a baseline; give `baseline` and `no_worse`."
            )
            raise OptionError("require", message)

    @property
    def requirements(self) -> list[Requirement]:
        """What is required, each once.

        If nothing else is said: that every answer is scored, and none of the baseline's is missing.
        """
        found = list(dict.fromkeys(map(read_requirement, self.require)))
        usual = [UNSCORED]
        if self.no_worse is not None:
            found.append(Requirement(DIFFERENCE, ">=", 0.0 - self.no_worse))
            usual.append(MISSING)
        named = {requirement.metric for requirement in found}
        return found + [Requirement(name, "<=", 0.0) for name in usual if name not in named]


def check_scores(scores: ScoresLike, options: CheckOptions) -> Check:
    """Check scores against requirements, such as a mean score or an agreement with ratings.

    A requirement holds if the end of the metric's interval satisfies it, so with few answers a
    requirement may break although the value satisfies it. A metric that is undefined or has no
    interval breaks its requirement. So do unscored answers, unless ``unscored`` itself is required,
    and answers of the baseline that are missing in the scores, unless ``missing`` is required.

    Args:
        scores: Scored answers, as for ``evaluate``. ``mean_score``, ``share_at_least(SCORE)``,
            ``unscored`` and a baseline need no ratings.

    Raises:
        DataError: If they cannot be read, no answer is left, a requirement needs ratings and there
            are none, a metric is unknown, or the baseline cannot be compared with them.
        StoreError: If a report cannot be written.
    """
    for path, ending in ((options.junit, ".xml"), (options.markdown, ".md")):
        if path is not None:
            inputs = (scores, options.ratings, options.baseline)
            check_output(path, formats=(ending,), inputs=inputs)
    new = _chosen(as_scores(scores, ratings=options.ratings, scale=options), options)
    old = None
    if options.baseline is not None:
        old = _chosen(as_scores(options.baseline, scale=options), options)
    result = _checked(new, old, options)
    if options.junit is not None:
        write_junit(options.junit, result)
    if options.markdown is not None:
        write_markdown(options.markdown, result)
    return result


check = keywords(check_scores, CheckOptions)


class _Measured(NamedTuple):
    """A metric, and what its interval was computed over.

    Attributes:
        metric: The metric.
        units: Number of instructions (answers); None where that is not known.
        unit: Which of the two.
        by_value: Why the value decides in any case; None where the interval does.
    """

    metric: Metric
    units: int | None = None
    unit: str = "instruction"
    by_value: str | None = None


def _chosen(scores: Scores, options: CheckOptions) -> Scores:
    """The answers of the model and category that are asked for, by id."""
    wanted = {name: getattr(options, name) for name in ("model", "category")}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    found = [a for a in scores.answers if all(getattr(a, n) == v for n, v in wanted.items())]
    if not found:
        named = " and ".join(f"{name} {value!r}" for name, value in wanted.items())
        raise DataError(f"holds no answer of {named}.", path=scores.path, field=next(iter(wanted)))
    return replace(scores, answers=sorted(found, key=lambda a: a.id))


def _checked(new: Scores, old: Scores | None, options: CheckOptions) -> Check:
    required = options.requirements
    scored = [a for a in new.answers if a.score is not None]
    group = groups(scored)
    drawn = len(scored) if group is None else int(group.max()) + 1
    unit = "answer" if group is None else "instruction"
    notes = [*new.warnings, *too_few(drawn, unit)]
    if options.point:
        notes.append("values are compared with the bounds (`point`), not the ends of intervals")
    measured = {UNSCORED: _unscored(new)}
    for requirement in required:
        if requirement.metric == MEAN_SCORE or requirement.least is not None:
            metric = _of_scores(scored, requirement.least, group, options.confidence)
            measured[requirement.metric] = _Measured(metric, drawn, unit)
    if any(requirement.needs_ratings for requirement in required):
        more, warnings = _of_ratings(new, required, options)
        measured, notes = measured | more, [*notes, *warnings]
    if old is not None:
        measured[DIFFERENCE], warnings = _difference(new, old, options.confidence)
        measured[MISSING] = _missing(new, old, [r for r in required if r.metric == MISSING])
        notes += warnings
    outcomes = [_outcome(r, measured[r.metric], options) for r in required]
    return Check(
        judge=new.name,
        scores=new.path,
        scores_sha256=new.sha256,
        baseline=None if old is None else old.path,
        baseline_sha256=None if old is None else old.sha256,
        answers=len(new.answers),
        unscored=len(new.answers) - len(scored),
        instructions=0 if group is None else drawn,
        confidence=options.confidence,
        outcomes=outcomes,
        warnings=list(dict.fromkeys(notes)),
    )


def _unscored(scores: Scores) -> _Measured:
    missing = [a for a in scores.answers if a.score is None]
    n = len(scores.answers)
    reason = f"{len(missing):,} of {counted(n, 'answer')}"
    if missing:
        reason += f"; first {missing[0].id}: {missing[0].error}"
    return _Measured(Metric(len(missing) / n, n), by_value=reason)


def _of_scores(
    scored: Sequence[Scored], least: float | None, group: Any, confidence: float
) -> Metric:
    """The mean score, or the share of answers that score at least so much."""
    values = np.array([a.score for a in scored], dtype=float)
    if not len(values):
        return Metric(None, 0, "no answer is scored")
    if least is None:
        return metrics.mean(values, group=group, confidence=confidence)
    return metrics.proportion(values >= least, group=group, confidence=confidence)


def _of_ratings(
    scores: Scores, required: Sequence[Requirement], options: CheckOptions
) -> tuple[dict[str, _Measured], Sequence[str]]:
    """The metrics that are about scores and ratings, and what a reader has to know."""
    names = [requirement.metric for requirement in required if requirement.needs_ratings]
    if all(a.rating is None for a in scores.answers):
        raise DataError(
            f"{names[0]} is about ratings, and no answer has one; give a file of them as "
            "`ratings`.",
            path=scores.path,
            field="rating",
        )
    total = work(scores, options)
    with steps(options.progress, total, "evaluated", "resample") as progress:
        found = evaluated(scores, options, progress)
    known = metrics_of(found.to_dict(), options.confidence)
    for name in names:
        if name not in known:
            raise unknown(name, known)
    drawn = found.counts.instructions or found.counts.used
    unit = found.settings.resampled.removesuffix("s").replace("record", "answer")
    own = found.headline._asdict()
    return {
        name: _Measured(known[name], drawn if name in own else None, unit) for name in names
    }, found.warnings


def _difference(new: Scores, old: Scores, confidence: float) -> tuple[_Measured, list[str]]:
    """The difference of the mean scores, new - old, and what a reader has to know."""
    if all(a.score is None for a in new.answers):
        return _Measured(Metric(None, 0, "no answer is scored")), []
    found, notes = against_baseline(new, old, confidence)
    n = found.difference.n
    notes += too_few(n, "instruction")
    same = None
    if n > 1 and found.difference.value == 0 and found.difference.interval is None:
        same = f"the scores on {counted(n, 'instruction')} are as before"
    return _Measured(found.difference, n, by_value=same), notes


def _missing(new: Scores, old: Scores, required: Sequence[Requirement]) -> _Measured:
    """The share of the baseline's answers that the scores do not have."""
    missing, n = missing_answers(new, old), len(old.answers)
    share = len(missing) / n
    reason = f"{len(missing):,} of {counted(n, 'answer')} of {old.path}"
    if missing:
        reason += (
            f" {'is' if len(missing) == 1 else 'are'} not in {new.path}, first {missing[0].id}"
        )
    if not all(requirement.kept_by(share) for requirement in required):
        up = math.ceil(1000 * share) / 1000
        reason += f"; score all of them, or allow a share by `require` '{MISSING}<={up:g}'"
    return _Measured(Metric(share, n), by_value=reason)


def _outcome(requirement: Requirement, measured: _Measured, options: CheckOptions) -> Outcome:
    metric, units, unit, by_value = measured
    if metric.value is None:
        return Outcome(requirement, metric, None, False, f"undefined: {metric.undefined}")
    if options.point or by_value is not None:
        return Outcome(requirement, metric, "value", requirement.kept_by(metric.value), by_value)
    if metric.interval is None:
        why = "there is no interval that could show it; `point` compares the value"
        return Outcome(requirement, metric, None, False, why)
    end: float = getattr(metric.interval, requirement.end)
    holds = requirement.kept_by(end)
    needed = None
    if not holds and units is not None and requirement.kept_by(metric.value):
        # As if the interval were Student's, and the value as far from the bound as it seems.
        error = abs(metric.value - end) / quantile(options.confidence, units - 1)
        gap = PairedDifference(Metric(metric.value - requirement.bound, units), error)
        needed = needed_instructions(gap, 1 - options.confidence)
    return Outcome(requirement, metric, requirement.end, holds, None, needed, unit)
