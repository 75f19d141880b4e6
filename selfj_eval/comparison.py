"""Two judges on the same records: every headline metric, and the difference with its interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selfj_eval.arguments import expect
from selfj_eval.errors import DataError
from selfj_eval.evaluation import Settings, few_units, provenance
from selfj_eval.evaluation.columns import Columns, plain
from selfj_eval.metrics import headline_differences
from selfj_eval.metrics.bootstrap import evaluations
from selfj_eval.scores import Scored, Scores, distinct_names, groups, same_answer

KIND = "selfj-comparison"


def work(first: Scores, second: Scores, settings: Settings) -> int:
    """How many steps ``compare`` reports to ``progress``."""
    shared, _ = _shared(first, second)
    return evaluations(len(shared), groups(shared), settings.resamples)


def compare(
    first: Scores,
    second: Scores,
    settings: Settings | None = None,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Compare two judges by a paired bootstrap over the records that both scored.

    Args:
        first, second: Scored answers with ids in common; ratings are taken from the first, and
            from the second where the first has none.
        settings: What changes the numbers.
        progress: Told how many bootstrap evaluations are done.

    Returns:
        A document for JSON: ``judges``, ``counts``, ``warnings``, ``settings``, ``metrics`` (each
        ``first``, ``second``, ``difference`` = first - second, and ``first_higher``, the share of
        resamples in which the first is higher), ``provenance``.

    Raises:
        DataError: If the two have no rated record in common.
    """
    for judge in (first, second):
        expect(judge, Scores, "compare()", "selfj_eval.scores.read_scores")
    settings = settings or Settings()
    names = distinct_names([first, second])
    answers, scores = _shared(first, second)
    if not answers:
        raise DataError(
            f"shares no record with {second.path} that both scored and that has a rating; "
            "ids and texts must be the same in both, and ratings in one of them or in --ratings.",
            path=first.path,
        )
    other = dict(zip((a.id for a in answers), scores, strict=True))
    data = Columns.of(answers, settings.good_at)
    differences = headline_differences(
        data.score,
        [other[a.id] for a in data.answers],
        data.rating,
        data.good,
        group=data.group,
        resamples=settings.resamples,
        confidence=settings.confidence,
        seed=settings.seed,
        progress=progress,
    )
    return {
        "kind": KIND,
        "judges": names,
        "counts": {
            "first": len(first.answers),
            "second": len(second.answers),
            "compared": len(answers),
        },
        "warnings": _warnings(first, second, data),
        "settings": vars(settings)
        | {"resampled": "records" if data.group is None else "instructions"},
        "metrics": {
            name: {
                "first": plain(d.first),
                "second": plain(d.second),
                "difference": plain(d.difference),
                "first_higher": d.first_higher,
            }
            for name, d in differences.items()
        },
        "provenance": [provenance(first), provenance(second)],
    }


def _shared(first: Scores, second: Scores) -> tuple[list[Scored], list[float]]:
    """The records that both scored and that have a rating, and the second judge's scores."""
    theirs = {a.id: a for a in second.answers}
    answers, scores = [], []
    for answer in first.answers:
        other = theirs.get(answer.id)
        if other is None or answer.score is None or other.score is None:
            continue
        if not same_answer(answer, other):
            continue
        if answer.rating is None:
            if other.rating is None:
                continue
            answer = other.with_score(answer.score)
        answers.append(answer)
        scores.append(other.score)
    return answers, scores


def _warnings(first: Scores, second: Scores, data: Columns) -> list[str]:
    found = [*first.warnings, *(w for w in second.warnings if w not in first.warnings)]
    if first.sha256 == second.sha256:
        found.append("the two files have the same content: is one of them the wrong one?")
    mine = {a.id: a for a in first.answers}
    theirs = {a.id: a for a in second.answers}
    for one, two, path in ((mine, theirs, first.path), (theirs, mine, second.path)):
        if alone := len(one.keys() - two.keys()):
            found.append(f"{alone} records are only in {path} and are left out")
        if unscored := sum(a.score is None for a in one.values()):
            found.append(f"{unscored} records of {path} are unscored and are left out")
    both = mine.keys() & theirs.keys()
    if changed := sum(
        None not in (mine[k].quality, theirs[k].quality) and mine[k].quality != theirs[k].quality
        for k in both
    ):
        found.append(f"{changed} records have another rating in the second file; the first's count")
    if other := sum(not same_answer(mine[k], theirs[k]) for k in both):
        found.append(f"{other} records have another text in the second file and are skipped")
    return [*found, *few_units(data)]
