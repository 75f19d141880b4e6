"""How `compare` compares, and how the judge runs where answers have no scores yet."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from selfj_eval.errors import DataError
from selfj_eval.evaluation.options import BootstrapOptions
from selfj_eval.jobs.options import PathLike, option
from selfj_eval.judging.options import RATERS, RatingOptions, ScoreOptions
from selfj_eval.raters.protocol import Rater
from selfj_eval.records.options import ReadOptions

_ONLY_TO_READ = ("fields", "encoding", "layout", "turns")


@dataclass(frozen=True, kw_only=True)
class CompareOptions(BootstrapOptions, RatingOptions, ReadOptions):
    """How two judges, or models, are compared."""

    by: str = option(
        "score",
        "compare models by the judge's scores or by the ratings",
        ("score", "rating"),
    )
    judge: str | Path | Rater | None = option(
        None,
        f"score the answers first, all with one judge, then compare their models; {RATERS}",
        placeholder="JUDGE",
    )
    output: PathLike | None = option(
        None,
        "file for the scores: .jsonl, .json, .csv or .parquet (default: scores_A_B.jsonl beside A)",
        placeholder="FILE",
    )

    def check(self) -> None:
        """Refuse how a judge runs where none does, and ratings where one does."""
        super().check()
        self.check_judge("output", *_ONLY_TO_READ)
        if self.judge is not None and (self.by == "rating" or self.ratings is not None):
            message = "`judge` compares models by its scores; leave out `by` and `ratings`."
            raise DataError(message)

    @property
    def score_options(self) -> ScoreOptions:
        """How the answers are scored."""
        own = {each.name for each in (*fields(RatingOptions), *fields(ReadOptions))}
        return ScoreOptions(**{name: getattr(self, name) for name in (*own, "output")})
