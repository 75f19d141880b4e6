"""Options of all that compares answers by what rates them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.jobs.options import PathLike, option

PACKAGES = ("alpaca-eval", "torch", "transformers", "scikit-learn", "scipy")
"""What decides the numbers here, for ``provenance``."""


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions(JudgeOptions):
    """How a judge runs, and how two scores become a preference."""

    group_title: ClassVar[str] = "how answers are compared"

    references: PathLike | Mapping[str, str] | None = option(
        None,
        "reference answers to show the judge: a file whose rows have instruction and reference, "
        "or v1 or v2 for the answers of that version's baseline",
        placeholder="FILE",
    )
    temperature: float | None = option(
        None,
        "preference = 1 + sigmoid((score - baseline's score) / T), with T in points of the "
        "score; with 0, only the order of the two scores counts (default: 1 for a judge on 0 to "
        "9, in proportion on another scale; 0 for length and other raters that are not on a "
        "judge's scale)",
        low=0,
        placeholder="T",
    )

    @property
    def judge_options(self) -> JudgeOptions:
        """How the judge itself runs."""
        return self.part(JudgeOptions)
