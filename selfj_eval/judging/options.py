"""Options of the jobs that have answers rated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError
from selfj_eval.jobs.options import Options, PathLike, option
from selfj_eval.jobs.progress import Watch
from selfj_eval.raters.protocol import Rater

RATERS = (
    "'small', 'demo' (a toy), a model folder, a hub id, or with engine openai a model's name at a "
    "server; or another rater: length, trigrams, tfidf, cosine:MODEL, ppl:MODEL, reward:MODEL, "
    "generative:MODEL, a sum such as small+trigrams, or a YAML file (docs/bench.md)"
)


@dataclass(frozen=True, kw_only=True)
class RatingOptions(JudgeOptions):
    """Which rater runs on answers, what it sees, and where its work is kept."""

    group_title: ClassVar[str] = Options.group_title

    judge: str | Path | Rater | None = option(None, RATERS, placeholder="JUDGE")
    reference: bool = option(
        True, "show the judge the reference of the records that have one (default: yes)"
    )
    store: PathLike | None = option(
        None, "file that keeps judgments (default: beside the output)", placeholder="FILE"
    )
    progress: Watch = option(False, internal=True)

    def check(self) -> None:
        """Refuse a store that a loaded rater would not use."""
        loaded = not isinstance(self.judge, str | Path | None)
        if loaded and self.store is not None and getattr(self.judge, "store", self) is not None:
            raise DataError(
                "`store` is for a rater that is named, or a loaded Judge without a store; this one "
                "keeps its work where it was told to when it was loaded."
            )
