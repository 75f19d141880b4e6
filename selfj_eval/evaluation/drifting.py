"""Whether answers are still like those that a policy was made on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from selfj_eval.errors import counted
from selfj_eval.metrics import Histogram, drift, histogram, one_of_each
from selfj_eval.metrics.drift import TEST
from selfj_eval.metrics.result import Array

if TYPE_CHECKING:
    from selfj_eval.judging.scored import Scored

CLEAR = 0.01
"""A p-value below this is reported as drift."""


class Drifted(NamedTuple):
    """A distribution now beside the one that a policy was made on.

    Attributes:
        what: ``score`` or ``length`` (characters of the answer).
        test: Name of the test.
        p_value: Of "the distribution is the same"; None where it cannot be tested.
        before, now: How many answers were compared, one per instruction.
        untested: Why there is no p-value; None where there is one.
    """

    what: str
    test: str
    p_value: float | None
    before: int
    now: int
    untested: str | None = None

    @property
    def clear(self) -> bool:
        """Whether the distributions differ beyond doubt."""
        return self.p_value is not None and self.p_value < CLEAR

    def __str__(self) -> str:
        if self.p_value is None:
            return f"{self.what}: not tested: {self.untested}"
        found = "DRIFT" if self.clear else "no drift seen"
        return (
            f"{self.what}: {found} ({self.test}, p = {self.p_value:.2g}, "
            f"{counted(self.now, 'answer')} now against {self.before:,})"
        )


def distributions(answers: Sequence[Scored]) -> dict[str, Any]:
    """Histograms of score and length, of one answer per instruction: those are independent.

    Args:
        answers: Scored ones.
    """
    columns = _one_each(answers)
    return {name: None if x is None else histogram(x)._asdict() for name, x in columns.items()}


def drifts(before: Mapping[str, Any] | None, answers: Sequence[Scored]) -> list[Drifted]:
    """What has changed since a policy was made.

    Args:
        before: What ``distributions`` gave then; None if it is not known.
        answers: Scored ones of now.
    """
    if before is None:
        return []
    found = []
    for name, now in _one_each(answers).items():
        if before[name] is None or now is None:
            missing = "the policy's answers" if before[name] is None else "these answers"
            found.append(Drifted(name, TEST, None, 0, 0, f"the texts of {missing} are missing"))
            continue
        kept = before[name]
        result = drift(Histogram(kept["edges"], kept["counts"]), now)
        few = "too few answers, or all are alike" if result.p_value is None else None
        found.append(Drifted(name, TEST, *result, few))
    return found


def _one_each(answers: Sequence[Scored]) -> dict[str, Array | None]:
    """Scores and lengths of one answer per instruction; lengths None where texts are missing."""
    from selfj_eval.judging.scored import groups

    answers = sorted(answers, key=lambda a: a.id)  # nothing depends on the file's order
    group = groups(answers)
    if group is not None:
        answers = [answers[k] for k in one_of_each(group)]
    lengths = [len(a.response) for a in answers if a.response is not None]
    return {
        "score": np.array([a.score for a in answers], dtype=float),
        "length": np.array(lengths, dtype=float) if len(lengths) == len(answers) else None,
    }
