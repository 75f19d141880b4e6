"""What a comparison of answering models found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfj_eval.errors import counted, shown
from selfj_eval.jobs.results import Result, plain, table
from selfj_eval.metrics.paired_means import PairedDifference

KIND = "selfj-model-comparison"


@dataclass(frozen=True, slots=True)
class ModelPair:
    """Two models on the instructions that both answered.

    Attributes:
        first, second: Their names.
        found: Difference of their means, first - second.
        holm: Its p-value, adjusted for all pairs that can be tested (Holm): for claims. None where
            nothing can be tested.
        benjamini_hochberg: The same for screening.
        detectable: Smallest true difference that would be claimed with probability 0.8 on as many
            instructions, among as many pairs.
        needed: So many instructions would claim a true difference as large as this one with
            probability 0.8; None where there is no difference, or where it is more than 100 times
            as many.
    """

    first: str
    second: str
    found: PairedDifference
    holm: float | None
    benjamini_hochberg: float | None
    detectable: float | None
    needed: int | None

    def conclusion(self, alpha: float) -> str:
        """What may be said of the two, as a sentence.

        Args:
            alpha: 1 - confidence. A difference is claimed where Holm's p-value is at most alpha.
        """
        found = self.found.difference
        one, two = shown(self.first), shown(self.second)
        if found.value is None:
            return f"{one} and {two} answered no instruction in common."
        if self.holm is not None and self.holm <= alpha:
            ends = None if found.interval is None else (found.interval.low, found.interval.high)
            if found.value < 0:
                one, two = two, one
                ends = ends and (-ends[1], -ends[0])
            numbers = "" if ends is None else f" ({ends[0]:.2f} to {ends[1]:.2f})"
            return f"{one} is better than {two} by {abs(found.value):.2f} points{numbers}."
        if self.found.p is None and found.n > 1:
            untested = f"all {found.n:,} instructions, so nothing can be tested"
            if found.value == 0:
                return f"{one} and {two} have equal means on {untested}."
            if found.value < 0:
                one, two = two, one
            size = f"{abs(found.value):.2f} points"
            return f"{one} is above {two} by the same {size} on {untested}."
        sentence = f"{counted(found.n, 'instruction')} cannot tell {one} from {two}"
        if self.detectable is None:
            return f"{sentence}."
        least = f"a difference of {self.detectable:.2f} points"
        sentence += f"; {least} would have been found with 80 % probability"
        if self.needed is not None:
            sentence += (
                f". If the one found is real, about {self.needed:,} would be needed to tell "
                "them apart"
            )
        return f"{sentence}."


@dataclass(frozen=True)
class ModelComparison(Result):
    """Answering models on the same instructions.

    Attributes:
        judge: Whose scores they are; ``ratings`` where ratings were compared.
        by: ``score`` or ``rating``: what was compared.
        scale: Ends of its scale; None where it is unknown.
        means: Mean by model, over its answers.
        answers: Number of answers by model, without those that are missing.
        missing: Answers without a score (or a rating), which are skipped.
        pairs: All pairs of models, the higher mean first.
        confidence: Level of all intervals; claims are made at 1 - confidence.
        warnings: What a reader should know, as sentences.
        output: The file of the scores that were made for the comparison; None where there were
            scores already, or where they are in memory.
    """

    judge: str
    by: str
    scale: tuple[float, float] | None
    means: Mapping[str, float]
    answers: Mapping[str, int]
    missing: int
    pairs: Sequence[ModelPair]
    confidence: float
    warnings: Sequence[str]
    output: str | None = None

    @property
    def conclusions(self) -> list[str]:
        """A sentence per pair of models."""
        return [pair.conclusion(1 - self.confidence) for pair in self.pairs]

    def to_dict(self) -> dict[str, Any]:
        """The document that ``selfj compare`` prints as JSON."""
        return {"kind": KIND, **plain(vars(self)), "conclusions": self.conclusions}

    def rows(self) -> list[dict[str, Any]]:
        """One row per pair of models."""
        return [
            {
                "first": pair.first,
                "second": pair.second,
                "difference": pair.found.difference.value,
                "low": pair.found.difference.low,
                "high": pair.found.difference.high,
                "instructions": pair.found.difference.n,
                "p": pair.found.p,
                "holm": pair.holm,
                "benjamini_hochberg": pair.benjamini_hochberg,
                "detectable": pair.detectable,
                "needed": pair.needed,
            }
            for pair in self.pairs
        ]

    def __str__(self) -> str:
        ends = "unknown scale" if self.scale is None else f"{self.scale[0]:g} to {self.scale[1]:g}"
        parts = [f"{len(self.means)} models by their mean {self.by} ({shown(self.judge)}, {ends})"]
        parts += [f"  note: {shown(warning)}" for warning in self.warnings]
        if self.output is not None:
            parts.append(f"  scores written to {self.output}")
        rows = [("", f"mean {self.by}", "answers")]
        rows += [(n[:40], f"{m:.3f}", f"{self.answers[n]:,}") for n, m in self.means.items()]
        level = f"{100 * self.confidence:g} % interval"
        pairs: list[tuple[str, ...]] = [
            ("", "difference", level, "instructions", "p", "p (Holm)", "detectable")
        ]
        for pair in self.pairs:
            d = pair.found.difference
            bounds = "" if d.interval is None else f"{d.interval.low:.3f} to {d.interval.high:.3f}"
            numbers = (pair.found.p, pair.holm, pair.detectable)
            pairs.append(
                (
                    f"{pair.first[:30]} - {pair.second[:30]}",
                    "-" if d.value is None else f"{d.value:.3f}",
                    bounds,
                    f"{d.n:,}",
                    *("-" if x is None else f"{x:.3g}" for x in numbers),
                )
            )
        return "\n".join([*parts, "", table(rows), "", table(pairs), "", *self.conclusions])
