"""The verb `compare`: two judges on the same answers, or answering models by one judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from selfj_eval.errors import DataError, counted
from selfj_eval.evaluation.columns import Columns, note_on_chances
from selfj_eval.evaluation.compare_models import compared_models
from selfj_eval.evaluation.compare_options import CompareOptions
from selfj_eval.evaluation.evaluate import few_units, provenance
from selfj_eval.evaluation.model_comparison import ModelComparison
from selfj_eval.evaluation.options import BootstrapOptions
from selfj_eval.evaluation.result import Compared, Comparison, ComparisonSettings
from selfj_eval.jobs.options import keywords
from selfj_eval.jobs.progress import steps
from selfj_eval.judging.scored import Scored, Scores, as_scores, distinct_names, groups, same_answer
from selfj_eval.metrics import headline_differences
from selfj_eval.metrics.bootstrap import evaluations

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike
    from selfj_eval.records.inputs import Answers


_DEFAULTS = CompareOptions()


class _Shared(NamedTuple):
    """What two judges are compared on.

    Attributes:
        answers: Those that both scored and that have a rating, with the first judge's scores.
        scores: The second judge's scores of them.
        unrated: How many others both scored.
    """

    answers: list[Scored]
    scores: list[float]
    unrated: int


def work(first: Scores, second: Scores, options: BootstrapOptions) -> int:
    """How many bootstrap evaluations ``compared`` makes."""
    shared = _shared(first, second).answers
    return evaluations(len(shared), groups(shared), options.resamples)


def compare_scores(
    first: ScoresLike | Answers,
    second: ScoresLike | Answers | None = None,
    options: CompareOptions = _DEFAULTS,
) -> Comparison | ModelComparison:
    """Compare two judges on the same answers, or answering models on the same instructions.

    Two judges are compared by a paired bootstrap over the records that both scored. Both are
    computed on the same resamples, so that what they share cancels: the interval of the difference
    is narrower than the two intervals suggest. Models are compared by their mean score or rating,
    by a paired t-test over the instructions that both answered.

    With ``judge``, answers of models are scored first, as ``score`` does it: the scores are kept in
    a file, and answers whose judgments are in its store are not judged again.

    Args:
        first: Scored answers, as for ``evaluate``; with ``judge`` answers, as for ``score``. If it
            is given alone, its models are compared. With ``judge`` and ``second``, each of the two
            is one file, one data set of the hub, or rows in memory; no pattern, folder or list of
            files.
        second: Scores of the same answers by another judge; ratings are taken from the first, and
            from the second where the first has none. Or scores of another model's answers to the
            same instructions, by the same judge. With ``judge``, another model's answers.

    Raises:
        DataError: If they cannot be read or judged, the two have neither rated answers nor
            instructions in common, there are fewer than two models or more than 40, or ``good_at``
            lies outside the ratings.
    """
    if options.judge is not None:
        return _judged(first, second, options)
    one = _scored(first, options)
    if second is None:
        return compared_models([one], options.by, options.confidence)
    two = _scored(second, options)
    if _of_two_models(one, two):
        return compared_models([one, two], options.by, options.confidence)
    with steps(options.progress, work(one, two, options), "compared", "resample") as progress:
        return compared(one, two, options, progress)


compare = keywords(compare_scores, CompareOptions)


def _scored(given: Any, options: CompareOptions) -> Scores:
    try:
        return as_scores(given, ratings=options.ratings, scale=options)
    except DataError as error:
        if error.field != "score" or error.place is not None:
            raise
        message = f"{error.message} Or give `judge`, and the answers are scored here."
        raise DataError(message, path=error.path, field="score") from error


def _judged(first: Any, second: Any, options: CompareOptions) -> ModelComparison:
    """Answers scored, then compared."""
    from selfj_eval.judging.models import score_models
    from selfj_eval.judging.score import score_answers

    how = options.score_options
    run = score_answers(first, how) if second is None else score_models(first, second, how)
    if not run.scored:
        why = run.errors[0] if run.errors else "there are no answers"
        raise DataError(f"no answer could be judged; the first: {why}", path=run.output)
    found = compared_models([run.scores], "score", options.confidence)
    return replace(found, warnings=[*run.notices, *found.warnings], output=run.output)


def _of_two_models(first: Scores, second: Scores) -> bool:
    """Whether two files hold different models' answers to the same instructions."""
    models = [{a.model for a in scores.answers} for scores in (first, second)]
    named = all(len(own) == 1 and None not in own for own in models)
    theirs = {a.id: a for a in second.answers}
    shared = [same_answer(a, theirs[a.id]) for a in first.answers if a.id in theirs]
    # An id may be the question's, and two models may give the same answer to some questions.
    if not (named and models[0] != models[1]) and 2 * sum(shared) > len(shared):
        return False
    asked = [{a.question for a in scores.answers if a.question is not None}
             for scores in (first, second)]  # fmt: skip
    return bool(asked[0] & asked[1])


def compared(
    first: Scores,
    second: Scores,
    options: BootstrapOptions,
    progress: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Compare two judges; ``progress`` is told how many bootstrap evaluations are done.

    Raises:
        DataError: As ``compare``.
    """
    names = distinct_names([first, second])
    answers, scores, unrated = _shared(first, second)
    if not answers:
        raise DataError(
            f"shares no record with {second.path} that both scored and that has a rating. To "
            "compare judges, ids and texts must be the same in both, and ratings in one of them "
            "or in `ratings`; to compare models, the instructions must be the same.",
            path=first.path,
        )
    other = dict(zip((a.id for a in answers), scores, strict=True))
    data = Columns.of(answers, options.good_at)
    data.check_good_at(options.good_at, first.ratings or first.path)
    settings = ComparisonSettings(
        options.good_at,
        options.confidence,
        options.resamples,
        options.seed,
        "records" if data.group is None else "instructions",
    )
    return Comparison(
        judges=names,
        counts=Compared(
            len(first.answers),
            len(second.answers),
            len(answers),
            0 if data.group is None else int(data.group.max()) + 1,
            unrated,
        ),
        warnings=_warnings(first, second, data, unrated),
        settings=settings,
        metrics=headline_differences(
            data.score,
            [other[a.id] for a in data.answers],
            data.rating,
            data.good,
            group=data.group,
            resamples=options.resamples,
            confidence=options.confidence,
            seed=options.seed,
            progress=progress,
        ),
        provenance=[provenance(first), provenance(second)],
    )


def _shared(first: Scores, second: Scores) -> _Shared:
    theirs = {a.id: a for a in second.answers}
    answers, scores, unrated = [], [], 0
    for answer in first.answers:
        other = theirs.get(answer.id)
        if other is None or answer.score is None or other.score is None:
            continue
        if not same_answer(answer, other):
            continue
        if answer.rating is None:
            if other.rating is None:
                unrated += 1
                continue
            answer = other.with_score(answer.score)
        answers.append(answer)
        scores.append(other.score)
    return _Shared(answers, scores, unrated)


def _warnings(first: Scores, second: Scores, data: Columns, unrated: int) -> list[str]:
    found = [*first.warnings, *(w for w in second.warnings if w not in first.warnings)]
    if first.sha256 == second.sha256:
        found.append("the two files have the same content: is one of them the wrong one?")
    mine = {a.id: a for a in first.answers}
    theirs = {a.id: a for a in second.answers}
    for one, two, path in ((mine, theirs, first.path), (theirs, mine, second.path)):
        if alone := len(one.keys() - two.keys()):
            some = counted(alone, "record is", "records are")
            found.append(f"{some} only in {path} and skipped")
        if unscored := sum(a.score is None for a in one.values()):
            some = counted(unscored, f"record of {path} is", f"records of {path} are")
            found.append(f"{some} unscored and skipped")
    both = mine.keys() & theirs.keys()
    if changed := sum(
        None not in (mine[k].quality, theirs[k].quality) and mine[k].quality != theirs[k].quality
        for k in both
    ):
        some = counted(changed, "record has", "records have")
        found.append(f"{some} another rating in the second file; the first file's is used")
    if other := sum(not same_answer(mine[k], theirs[k]) for k in both):
        some = counted(other, "record has another text", "records have another text")
        found.append(f"{some} in the second file; skipped")
    if unrated:
        some = counted(unrated, "record that both scored has", "records that both scored have")
        found.append(f"{some} no rating; skipped")
    return [*found, *note_on_chances(data.answers), *few_units(data)]
