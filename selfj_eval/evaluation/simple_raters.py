"""Whether a judge agrees better with the ratings than raters that anybody has without a model.

The rule is fixed: the difference of Spearman's correlations with its paired bootstrap interval, and
p-values adjusted for all such differences of the judges at hand (Holm).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from selfj_eval.evaluation import compare
from selfj_eval.evaluation.options import BootstrapOptions
from selfj_eval.evaluation.result import Comparison
from selfj_eval.judging.scored import Scored, Scores
from selfj_eval.metrics import Difference
from selfj_eval.metrics.paired_means import holm
from selfj_eval.metrics.result import FEWEST_UNITS
from selfj_eval.records.record import Record

YES, NO, UNKNOWN = "yes", "no", "cannot say"
LENGTH, TFIDF, COSINE = "answer length", "TF-IDF cosine", "embedding cosine"
_ITSELF = ("LengthRater", "TfidfRater", "TrigramRater", "CosineRater")


@dataclass(frozen=True, slots=True)
class Against:
    """A judge against one simple rater.

    Attributes:
        rater: ``answer length``; ``TF-IDF cosine`` (of answer and reference); or in its place
            ``embedding cosine``, where scores by the rater ``cosine`` are among those at hand.
        beaten: ``yes``, ``no`` or ``cannot say``.
        spearman: Spearman's correlation with the ratings: the judge's, the simple rater's, and the
            difference. None where they cannot be compared.
        answers: Rated answers that were compared.
        holm: p-value of "both agree equally well with the ratings", adjusted; None where undefined.
        reason: Why nothing can be said, or None.
    """

    rater: str
    beaten: str
    spearman: Difference | None
    answers: int
    holm: float | None
    reason: str | None


class Pairing(NamedTuple):
    """Two that are to be compared.

    Attributes:
        judge: Number of the judge.
        rater: Name of the simple rater.
        scores: Its scores of the judge's rated answers; None where it cannot rate them.
        reason: Why it cannot, or None.
    """

    judge: int
    rater: str
    scores: Scores | None
    reason: str | None


def pairings(judges: Sequence[Scores]) -> list[Pairing]:
    """Which judge is compared with which simple raters: none of these with another one."""
    cosine = next((s for s in judges if _rater(s) == "CosineRater"), None)
    found = []
    for k, scores in enumerate(judges):
        if _rater(scores) in _ITSELF or not scores.rated:
            continue
        found.append(Pairing(k, LENGTH, *_by_length(scores)))
        if cosine is not None:
            found.append(Pairing(k, COSINE, replace(cosine, name=COSINE), None))
        else:
            found.append(Pairing(k, TFIDF, *_by_words(scores)))
    return found


def work(judges: Sequence[Scores], pairs: Sequence[Pairing], options: BootstrapOptions) -> int:
    """How many bootstrap evaluations ``against_simple_raters`` makes."""
    return sum(compare.work(judges[p.judge], p.scores, options) for p in pairs if p.scores)


def against_simple_raters(
    judges: Sequence[Scores],
    pairs: Sequence[Pairing],
    options: BootstrapOptions,
    progress: Callable[[int], None] = lambda _: None,
) -> list[list[Against]]:
    """Each judge against its simple raters; an empty list for these themselves.

    A judge beats a simple rater (``yes``) if the interval of the difference of their Spearman
    correlations lies above 0, and Holm's p-value over all pairs is at most 1 - ``confidence``. It
    does not (``no``) if the interval lies below 0 with such a p-value. Otherwise, and with fewer
    than 30 instructions (answers, where texts are missing), the answer is ``cannot say``.

    Args:
        judges: Scores of each.
        pairs: What ``pairings`` gave for them.
        options: Of the bootstrap.
        progress: Told how many bootstrap evaluations are done.
    """
    found = [None if p.scores is None else
             compare.compared(judges[p.judge], p.scores, options, progress)
             for p in pairs]  # fmt: skip
    raw = [None if c is None else _p(c) for c in found]
    tested = [at for at, p in enumerate(raw) if p is not None]
    adjusted = dict(zip(tested, holm([raw[at] for at in tested]).tolist(), strict=True))
    result: list[list[Against]] = [[] for _ in judges]
    for at, (pair, comparison) in enumerate(zip(pairs, found, strict=True)):
        result[pair.judge].append(
            _against(pair, comparison, adjusted.get(at), 1 - options.confidence)
        )
    return result


def verdict(found: Sequence[Against]) -> str:
    """Whether a judge beats all that it was compared with: ``yes``, ``no`` or ``cannot say``."""
    compared = [one.beaten for one in found if one.spearman is not None]
    if NO in compared:
        return NO
    return YES if compared and set(compared) == {YES} else UNKNOWN


def _against(
    pair: Pairing, comparison: Comparison | None, holm: float | None, alpha: float
) -> Against:
    if comparison is None:
        return Against(pair.rater, UNKNOWN, None, 0, None, pair.reason)
    rho, counts = comparison.metrics["spearman"], comparison.counts
    interval = rho.difference.interval
    drawn, unit = counts.instructions or counts.compared, comparison.settings.resampled
    beaten, reason = UNKNOWN, None
    if rho.difference.value is None:
        reason = rho.difference.undefined
    elif drawn < FEWEST_UNITS or interval is None or holm is None:
        reason = f"too few {unit} ({drawn:,})"
    elif interval.low <= 0 <= interval.high:
        reason = "the difference may be chance (its interval contains 0)"
    elif holm > alpha:
        reason = f"the difference may be chance (Holm's p-value is above {alpha:.3g})"
    else:
        beaten = YES if interval.low > 0 else NO
    return Against(pair.rater, beaten, rho, counts.compared, holm, reason)


def _p(comparison: Comparison) -> float | None:
    """Two-sided p-value of "no difference": twice the share of the resamples on the rarer side.

    One is added to both counts, so that it is never 0 (Davison and Hinkley 1997, section 4.2).
    """
    share, drawn = comparison.metrics["spearman"].first_higher, comparison.settings.resamples
    if share is None:
        return None
    return min(1.0, 2 * (min(share, 1 - share) * drawn + 1) / (drawn + 1))


def _rater(scores: Scores) -> Any:
    judge = scores.run.get("judge")
    return judge.get("rater") if isinstance(judge, dict) else None


def _by_length(scores: Scores) -> tuple[Scores | None, str | None]:
    answers = [a.with_score(float(len(a.response))) for a in scores.rated if a.response is not None]
    return _scores(scores, LENGTH, answers), None if answers else "the scores hold no texts"


def _by_words(scores: Scores) -> tuple[Scores | None, str | None]:
    """TF-IDF weighs the words of all rated answers with a reference, and of their references."""
    from selfj_eval.raters.cosine import TfidfRater

    given = [a for a in scores.rated if a.response is not None and a.reference is not None]
    records = [Record(a.id, a.question or "-", a.response or "", a.reference) for a in given]
    rated = [
        a.with_score(judgment.score)
        for a, judgment in zip(given, TfidfRater().judge(records), strict=True)
        if judgment.score is not None
    ]
    return _scores(scores, TFIDF, rated), None if rated else "no answer has a reference"


def _scores(scores: Scores, name: str, answers: Sequence[Scored]) -> Scores | None:
    if not answers:
        return None
    return replace(scores, name=name, path=name, sha256=name, answers=answers, run={}, warnings=[])
