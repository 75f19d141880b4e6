"""What changes the numbers of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from selfj_eval.jobs.options import PathLike, option
from selfj_eval.jobs.progress import Watch
from selfj_eval.jobs.tracking import LogOptions
from selfj_eval.records.options import ScaleOptions

GOOD_AT = 6.0
"""Default of the lowest good rating on 0..9: 7 of 1..10, 4 of 1..5."""


@dataclass(frozen=True, kw_only=True)
class RatingOptions(ScaleOptions):
    """Which ratings count, and which are good."""

    group_title: ClassVar[str] = "ratings"

    ratings: str | Path | Iterable[Mapping[str, Any]] | None = option(
        None,
        "ratings by id, if the scores file has none, or to replace the ones it has; texts are "
        "also taken from this file",
        placeholder="FILE",
    )
    good_at: float = option(
        GOOD_AT,
        "an answer is good if its rating, rescaled to 0..9, is at least this (default: 6, which "
        "is 7 of 1..10 or 4 of 1..5); if the scale is unknown, the rating is used unchanged",
        placeholder="T",
    )
    confidence: float = option(
        0.95, "confidence level of intervals and guarantees", placeholder="C"
    )

    def check(self) -> None:
        """Refuse a confidence that is none."""
        super().check()
        self.need_share("confidence")


@dataclass(frozen=True, kw_only=True)
class BootstrapOptions(RatingOptions):
    """The same, and the bootstrap of the intervals."""

    group_title: ClassVar[str] = "intervals"

    resamples: int = option(1000, "how many resamples the bootstrap draws", low=20, high=1_000_000)
    seed: int = option(0, "seed of the bootstrap", low=0)
    progress: Watch = option(False, internal=True)


@dataclass(frozen=True, kw_only=True)
class VerdictOptions(BootstrapOptions):
    """The same, and what the judge calls good."""

    group_title: ClassVar[str] = "the judge's verdict"

    judged_good_at: float | None = option(
        None,
        "an answer is judged good if its score is at least this (default: the score with the "
        "highest balanced accuracy against the ratings)",
        placeholder="SCORE",
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(VerdictOptions, LogOptions):
    """How scores are evaluated."""

    csv: PathLike | None = option(
        None, "also write every metric as a CSV table", placeholder="FILE"
    )

    def check(self) -> None:
        """As its bases do."""
        super().check()
        self.check_log()
