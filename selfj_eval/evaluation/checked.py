"""What a check found: whether scores keep their requirements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfj_eval.errors import counted, shown, some
from selfj_eval.evaluation.requirements import Requirement
from selfj_eval.jobs.results import Result, plain
from selfj_eval.metrics import Metric

KIND = "selfj-check"
_DIGITS = (3, 4, 5, 6, 9, 12)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One requirement, and whether it is kept.

    Attributes:
        requirement: What was required.
        found: The metric with its interval.
        decided_by: What was compared with the bound: ``low`` or ``high`` end of the interval, or
            ``value``; None where there was nothing to compare, which breaks the requirement.
        holds: Whether it is kept.
        reason: Why there was nothing to compare, or why a value is enough; None where an interval
            decided.
        needed: About so many instructions (answers, where these are unknown) would show with
            probability 0.8 that it is kept, if the true value is the one found. None where it
            holds, where the value is on the wrong side itself, or where that cannot be said.
        unit: What ``needed`` counts.
    """

    requirement: Requirement
    found: Metric
    decided_by: str | None
    holds: bool
    reason: str | None = None
    needed: int | None = None
    unit: str = "instruction"

    @property
    def decisive(self) -> float | None:
        """The number that was compared with the bound."""
        return None if self.decided_by is None else getattr(self.found, self.decided_by)

    @property
    def numbers(self) -> tuple[str, str]:
        """Value and interval as text, with as many digits as it takes to see who is above whom."""
        found, wanted = self.found, self.requirement
        at = self.decisive
        digits = next(
            (d for d in _DIGITS if at is None or wanted.kept_by(round(at, d)) is self.holds), 17
        )
        value = "-" if found.value is None else f"{found.value:.{digits}f}"
        if found.interval is None:
            return value, ""
        low, high = found.interval.low, found.interval.high
        return value, f"{low:.{digits}f} to {high:.{digits}f}"

    @property
    def sentence(self) -> str:
        """What was found, on one line."""
        value, interval = self.numbers
        parts = [f"value {value}"] if self.found.value is not None else []
        if interval and self.found.interval is not None:
            parts.append(f"{100 * self.found.interval.confidence:g} % interval {interval}")
        text = ", ".join(parts)
        if self.reason is not None:
            text += f"; {self.reason}" if text else self.reason
        elif not self.holds and self.found.value is not None:
            side = "low" if self.requirement.end == "low" else "high"
            if self.requirement.kept_by(self.found.value):
                text += f"; the {'lower' if side == 'low' else 'upper'} end is too {side}"
            else:
                text += f"; the value itself is too {side}"
        if self.needed is not None:
            some_more = counted(self.needed, self.unit)
            text += f". If the value is right, about {some_more} would be needed to show it"
        return text

    def to_dict(self) -> dict[str, Any]:
        """The requirement and what was found, as in the JSON."""
        own = plain(self.requirement)
        return {
            "requirement": str(self.requirement),
            **own,
            "holds": self.holds,
            "decided_by": self.decided_by,
            "found": self.found.to_dict(),
            "reason": self.reason,
            "needed": self.needed,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class Check(Result):
    """Whether scores keep their requirements.

    Attributes:
        judge: Whose scores they are.
        scores, scores_sha256: The file, and the hash of its content.
        baseline, baseline_sha256: The same of the baseline; None without one.
        answers, unscored: How many there are, and how many of them have no score.
        instructions: How many they answer; 0 where texts are missing.
        confidence: Level of all intervals.
        outcomes: One per requirement.
        warnings: What a reader should know, as sentences.
    """

    judge: str
    scores: str
    scores_sha256: str
    baseline: str | None
    baseline_sha256: str | None
    answers: int
    unscored: int
    instructions: int
    confidence: float
    outcomes: Sequence[Outcome]
    warnings: Sequence[str]

    @property
    def holds(self) -> bool:
        """Whether every requirement is kept."""
        return not self.broken

    @property
    def broken(self) -> list[Outcome]:
        """The requirements that are not kept."""
        return [outcome for outcome in self.outcomes if not outcome.holds]

    @property
    def summary(self) -> str:
        """Which requirements are broken, or that all hold, on one line."""
        n, broken = len(self.outcomes), self.broken
        if not broken:
            held = "the requirement holds" if n == 1 else f"all {n} requirements hold"
            return f"{held} ({shown(self.judge)}, {counted(self.answers, 'answer')})"
        names = shown(some([str(o.requirement) for o in broken], 5))
        return f"broken: {names} ({len(broken)} of {counted(n, 'requirement')})"

    def to_dict(self) -> dict[str, Any]:
        """The document that ``selfj check`` prints as JSON."""
        return {"kind": KIND, "holds": self.holds, **plain(vars(self))}

    def rows(self) -> list[dict[str, Any]]:
        """One row per requirement."""
        return [
            {
                "requirement": str(o.requirement),
                "holds": o.holds,
                "value": o.found.value,
                "low": o.found.low,
                "high": o.found.high,
                "n": o.found.n,
                "decided_by": o.decided_by,
                "needed": o.needed,
            }
            for o in self.outcomes
        ]

    def __str__(self) -> str:
        lines = [self.summary]
        for holds in (False, True):  # what is broken is read first
            lines += [
                f"  {'holds ' if holds else 'BROKEN'}  {shown(o.requirement)}: {shown(o.sentence)}"
                for o in self.outcomes
                if o.holds is holds
            ]
        return "\n".join([*lines, *(f"  note: {shown(warning)}" for warning in self.warnings)])
