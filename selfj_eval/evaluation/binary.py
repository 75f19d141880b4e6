"""The judge as one that says good or bad, and what share of the unrated answers is good."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval import metrics
from selfj_eval.errors import counted
from selfj_eval.evaluation.columns import Columns, note_on_chances
from selfj_eval.evaluation.result import Binary
from selfj_eval.judging.scored import Scored, Scores, groups
from selfj_eval.metrics import Interval, Metric
from selfj_eval.metrics.calibration import FOLDS

FEWEST = 2 * FOLDS
"""Rated answers or instructions that a cross-fitted score cut takes."""
Group = npt.NDArray[np.int64] | None


class _Unrated(NamedTuple):
    """Scored answers without a rating, by id, and the instructions of all scored answers."""

    answers: list[Scored]
    group: Group


def binary(
    scores: Scores,
    data: Columns,
    judged_good_at: float | None,
    confidence: float,
    *,
    instead: str = "",
) -> Binary:
    """Verdicts of the judge against the ratings.

    Args:
        scores: All answers.
        data: Those with a score and a rating.
        judged_good_at: Lowest score that is judged good; None chooses it by ``best_cut``, on the
            rated answers of the other folds for each of them, on all for the others. Nothing can
            be chosen where no rated answer is good, or none is bad.
        confidence: Level of the intervals.
        instead: What can be done beside rating more answers where these are too few to choose on.
    """
    verdict, cut, reason = _verdicts(data, judged_good_at, instead)
    unrated = _unrated(scores, data)
    if verdict is None or cut is None:
        missing = Metric(None, len(data.answers), reason)
        return Binary(None, False, *(missing,) * 4, len(unrated.answers), missing, missing)
    good = data.good

    def share(holds: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_], which: str) -> Metric:
        group = None if data.group is None else data.group[among]
        found = metrics.proportion(holds[among], group=group, confidence=confidence)
        return found if found.n else found._replace(undefined=f"no rated answer is {which}")

    tpr, tnr = share(verdict, good, "good"), share(~verdict, ~good, "bad")
    called = np.array([a.score for a in unrated.answers], dtype=float) >= cut
    after = None if unrated.group is None else unrated.group[len(good) :]
    of_unrated = metrics.proportion(called, group=after, confidence=confidence)
    if not of_unrated.n:
        of_unrated = of_unrated._replace(undefined="every scored answer has a rating")
    return Binary(
        score_cut=cut,
        chosen=judged_good_at is None,
        tpr=tpr,
        tnr=tnr,
        precision=share(good, verdict, "judged good"),
        youden=_youden(tpr, tnr, len(good)),
        unrated=len(called),
        judged_good=of_unrated,
        corrected=metrics.corrected_share(
            np.concatenate([verdict, called]),
            np.concatenate([good.astype(float), np.full(len(called), math.nan)]),
            group=unrated.group,
            confidence=confidence,
        ),
    )


def warnings_on_correction(found: Binary, data: Columns) -> list[str]:
    """What speaks against the rates and the corrected share, as sentences."""
    warnings = note_on_chances(data.answers, "; use `selfj estimate` for all")
    low, high = found.youden.low, found.youden.high
    if found.unrated and low is not None and high is not None and low <= 0:
        warnings.append(
            f"the judge may not tell good from bad answers at score {found.score_cut:.3g} (TPR + "
            f"TNR - 1 is {low:.2f} to {high:.2f}): do not rely on the corrected share of good "
            "answers"
        )
    return warnings


def _verdicts(
    data: Columns, judged_good_at: float | None, instead: str
) -> tuple[npt.NDArray[np.bool_] | None, float | None, str | None]:
    """The verdict on each rated answer and the cut for others, or why there are none."""
    if judged_good_at is not None:
        return data.score >= judged_good_at, judged_good_at, None
    if data.good.all() or not data.good.any():
        return None, None, f"no rated answer is {'bad' if data.good.any() else 'good'}"
    found = metrics.cross_fitted_verdicts(data.score, data.good, group=data.group)
    if found is None:
        unit, n, some = "answer", len(data.answers), f"at least {FEWEST}"
        if data.group is not None:
            unit, n, some = "instruction", len(np.unique(data.group)), f"answers to {some}"
        few = f"only {counted(n, f'rated {unit}')} to choose a score cut on"
        return None, None, f"{few}; rate {some}{instead}"
    return found, metrics.best_cut(data.score, data.good).at, None


def _unrated(scores: Scores, data: Columns) -> _Unrated:
    found = [a for a in scores.answers if a.score is not None and a.rating is None]
    found.sort(key=lambda a: a.id)
    return _Unrated(found, groups([*data.answers, *found]))


def _youden(tpr: Metric, tnr: Metric, n: int) -> Metric:
    """TPR + TNR - 1 with Newcombe's interval, from those of the two (1998, Stat. Med. 17)."""
    if tpr.value is None or tnr.value is None:
        return Metric(None, n, tpr.undefined or tnr.undefined)
    value = tpr.value + tnr.value - 1
    one, two = tpr.interval, tnr.interval
    if one is None or two is None:
        return Metric(value, n)
    below = math.hypot(tpr.value - one.low, tnr.value - two.low)
    above = math.hypot(one.high - tpr.value, two.high - tnr.value)
    return Metric(
        value, n, interval=Interval(value - below, value + above, one.confidence, "newcombe")
    )
