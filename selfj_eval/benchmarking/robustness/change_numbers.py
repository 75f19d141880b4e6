"""The numbers of one change: how often and how far the score went the wrong way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.benchmarking.robustness.attacks import Change
from selfj_eval.benchmarking.robustness.result import ChangeResult, Worst
from selfj_eval.metrics import Metric, bootstrap
from selfj_eval.metrics.bootstrap import RESAMPLES
from selfj_eval.metrics.result import Array, no_spread

DIGIT_TOLERANCE = 0.45
"""In points: a twentieth of the scale 0 to 9. Smaller moves are no wrong-way moves."""
SPREAD_TOLERANCE = 0.2
"""In standard deviations: a small effect (Cohen 1988, Statistical Power Analysis, 2.2)."""
CONFIDENCE = 0.95


class Unit(NamedTuple):
    """What moves are measured in.

    Attributes:
        name: For readers.
        value: The unit in the rater's own scores; None where it is undefined.
        tolerance: In units; a move of more than this counts as one.
        undefined: Why there is no value.
    """

    name: str
    value: float | None
    tolerance: float
    undefined: str | None = None


def digit_unit() -> Unit:
    """The unit of judges that answer with a digit: a point of 0 to 9."""
    return Unit("points of 0 to 9", 1.0, DIGIT_TOLERANCE)


def spread_unit(scores: Sequence[float]) -> Unit:
    """The unit of raters with a scale of their own: the standard deviation of the base scores."""
    name, values = "standard deviations of the base scores", np.sort(np.array(scores, dtype=float))
    if reason := no_spread(values, "base scores"):
        return Unit(name, None, SPREAD_TOLERANCE, reason)
    return Unit(name, float(values.std()), SPREAD_TOLERANCE)


class Pair(NamedTuple):
    """An answer and its changed form, as a rater scored them.

    Attributes:
        id: The base record's.
        instruction: The instruction, over which intervals are drawn.
        base, changed: The scores; None when unscored.
        refused: Whether the rater declined the changed answer before rating it, though it
            scored the base.
        trimmed: Whether a text of either was cut to the rater's longest prompt.
    """

    id: str
    instruction: str
    base: float | None
    changed: float | None
    refused: bool = False
    trimmed: bool = False


def measure(
    change: Change,
    pairs: Sequence[Pair],
    unit: Unit,
    *,
    records: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> ChangeResult:
    """The numbers of one change.

    Args:
        change: The change.
        pairs: All records that it applies to.
        unit: What moves are measured in.
        records: How many records there were, those included to which it does not apply.
        seed, resamples: Of the bootstrap over instructions.
    """
    # An order of their own, so that a seed draws the same ones whatever the order of the file.
    scored = [
        (p, p.changed - p.base)
        for p in sorted(pairs, key=lambda p: (p.instruction, p.id))
        if p.base is not None and p.changed is not None
    ]
    refused = sum(p.refused for p in pairs)
    unscored = len(pairs) - refused - len(scored)
    reason, worst = unit.undefined, None
    if not pairs:
        reason = f"it applies to none of the {records:,} answers"
    elif not scored:
        reason = (
            f"none of the {len(pairs):,} pairs of an original and a changed answer has two scores "
            f"({refused:,} refused, {unscored:,} unscored)"
        )
    wrong_way = mean_change = moved = Metric(None, len(scored), reason)
    if reason is None and unit.value is not None:
        difference = np.array([d for _, d in scored]) / unit.value
        wrong = np.array([change.wrong_move(d) for d in difference.tolist()])
        values = np.stack([wrong > unit.tolerance, difference, wrong], axis=1).astype(float)

        numbers = {p.instruction: k for k, (p, _) in enumerate(scored)}

        def means(drawn: npt.NDArray[np.int64]) -> Array:
            result: Array = values[drawn].mean(axis=0)
            return result

        result = bootstrap(
            means,
            len(scored),
            group=[numbers[p.instruction] for p, _ in scored],
            resamples=resamples,
            confidence=CONFIDENCE,
            seed=seed,
        )
        wrong_way, mean_change, moved = (
            Metric(float(value), len(scored), None, interval)
            for value, interval in zip(result.value, result.intervals, strict=True)
        )
        at = int(wrong.argmax())
        if wrong[at] > 0:
            first, _ = scored[at]
            worst = Worst(first.id, first.base or 0.0, first.changed or 0.0, float(wrong[at]))
    return ChangeResult(
        change.expectation,
        records,
        records - len(pairs),
        len(pairs),
        refused,
        unscored,
        len(scored),
        sum(p.trimmed for p, _ in scored),
        wrong_way,
        mean_change,
        moved,
        worst,
    )
