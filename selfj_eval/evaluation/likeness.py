"""Whether the rated answers are a random part of all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import counted
from selfj_eval.evaluation.columns import equal_chances
from selfj_eval.evaluation.estimation import Likeness
from selfj_eval.judging.scored import Scored, groups
from selfj_eval.metrics.clusters import clustered_variance
from selfj_eval.metrics.result import Array

_SUSPICIOUS = 0.01


def likeness_of(answers: Sequence[Scored], chosen: Sequence[str]) -> list[Likeness]:
    """Tests on score and length of whether the rated answers are like those without a rating.

    Where answers had different chances of being rated, they are compared only with those that were
    chosen with them and left out; there are no tests if none was.

    Args:
        answers: Scored answers.
        chosen: Ids of those that were chosen for rating, if that is known.
    """
    if not equal_chances([a for a in answers if a.rating is not None]):
        among = frozenset(chosen)
        answers = [a for a in answers if a.rating is not None or a.id in among]
    rated = np.array([a.rating is not None for a in answers])
    if rated.all() or not rated.any():
        return []
    number = groups(answers)
    unit = np.arange(len(answers)) if number is None else number
    values = {"score": np.array([a.score for a in answers], dtype=float)}
    if all(a.response is not None for a in answers):
        values["length"] = np.array([len(a.response or "") for a in answers], dtype=float)
    return [
        Likeness(
            name,
            float(value[rated].mean()),
            float(value[~rated].mean()),
            _p_value(np.log1p(value) if name == "length" else value, rated, unit),
        )
        for name, value in values.items()
    ]


def unlikely(tests: Sequence[Likeness], advice: str) -> list[str]:
    """What tests say against a random choice, as sentences that end with some advice."""
    return [
        f"the rated answers are not like the others in {test.value} (mean {test.rated:.3g} "
        f"against {test.others:.3g}, p = {test.p:.2g}). If they were not chosen at random, "
        f"the estimates are wrong. {advice}"
        for test in tests
        if test.p is not None and test.p < _SUSPICIOUS
    ]


def left_out(answers: Sequence[Scored], chosen: Sequence[str]) -> list[str]:
    """How many chosen answers are not rated, and whether they may be a random part, as sentences.

    Args:
        answers: Scored answers.
        chosen: Ids of those that were chosen for rating, in the order of the file. It is random:
            whoever stops early has rated a random part, whoever leaves out rows perhaps not.
    """
    by_id = {a.id: a for a in answers}
    planned = [by_id[own] for own in chosen if own in by_id]
    rated = [a.rating is not None for a in planned]
    n = sum(rated)
    if n == len(planned):
        return []
    are = "is" if len(planned) - n == 1 else "are"
    note = f"{len(planned) - n:,} of the {counted(len(planned), 'chosen answer')} {are} not rated"
    if not equal_chances([a for a in planned if a.rating is not None]):
        note += ". If the plan had a pilot, rate them too: `inclusion` holds for all together"
    found = [note]
    if not all(rated[:n]):
        found.append(
            "the rated rows are not the first ones of the file, whose order is random. If rows "
            "were left out because of their answers, the estimates are wrong: rate from the top, "
            "without gaps"
        )
    return found


def _p_value(
    value: Array, rated: npt.NDArray[np.bool_], unit: npt.NDArray[np.int64]
) -> float | None:
    """Of the covariance of value and being rated, clustered, by Student's t."""
    from scipy.special import stdtr  # scipy.stats, which calls it, takes much longer to import

    product = (rated - rated.mean()) * (value - value.mean())
    units = len(np.unique(unit))
    error = math.sqrt(clustered_variance(product, unit)) if units > 1 else 0.0
    if error == 0:
        return None
    return float(2 * stdtr(units - 1, -abs(product.sum()) / error))
