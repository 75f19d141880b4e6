"""What came of a rater's trial: every number has a name and a type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfj_eval.jobs.results import Result, plain
from selfj_eval.metrics import Metric

KIND = "selfj-robustness"


@dataclass(frozen=True, slots=True)
class Worst:
    """The pair that went furthest the wrong way.

    Attributes:
        id: The base record's.
        base, changed: The rater's own scores.
        move: In units.
    """

    id: str
    base: float
    changed: float
    move: float


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """The numbers of one change.

    Attributes:
        expectation: What the score must not do.
        records, not_applicable, n: All records, those that it does not apply to, and the pairs.
        refused, unscored, scored: Pairs that the rater declined, did not score, and scored.
        trimmed: Scored pairs of which a text was cut.
        wrong_way: Share of the scored pairs in [0, 1] that moved the wrong way.
        mean_change: Mean move, in units.
        moved: Mean wrong-way move, in units, at least 0.
        worst: None where nothing moved the wrong way.
    """

    expectation: str
    records: int
    not_applicable: int
    n: int
    refused: int
    unscored: int
    scored: int
    trimmed: int
    wrong_way: Metric
    mean_change: Metric
    moved: Metric
    worst: Worst | None


@dataclass(frozen=True, slots=True)
class Base:
    """The answers as they were.

    Attributes:
        records, scored, unscored, instructions: Counts.
        mean: Mean score; None where none is scored.
    """

    records: int
    scored: int
    unscored: int
    instructions: int
    mean: float | None


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """What the numbers were computed with.

    Attributes:
        seed, limit: As given.
        unit, unit_value: What moves are measured in, and its size in the rater's own scores.
        tolerance: In units; a move of more counts.
        confidence, resamples, resampled: Of the intervals.
    """

    seed: int
    limit: int | None
    unit: str
    unit_value: float | None
    tolerance: float
    confidence: float
    resamples: int
    resampled: str


@dataclass(frozen=True, slots=True, repr=False)
class Robustness(Result):
    """What changes of answers do to a rater's scores; ``docs/robustness.md`` explains it."""

    rater: Mapping[str, Any]
    base: Base
    settings: TrialSettings
    warnings: Sequence[str]
    changes: Mapping[str, ChangeResult]
    versions: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The document as JSON; no NaN anywhere."""
        return {"kind": KIND, **{name: plain(getattr(self, name)) for name in self.__slots__}}

    def rows(self) -> list[dict[str, Any]]:
        """One row per change."""
        return [{"change": name} | plain(change) for name, change in self.changes.items()]

    def __str__(self) -> str:
        from selfj_eval.benchmarking.robustness.rendering import text

        return text({str(self.rater.get("rater", "judge")): self})
