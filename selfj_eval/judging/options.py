"""Options of the jobs that have answers rated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from selfj_eval.engines.options import ENGINES, JudgeOptions
from selfj_eval.errors import DataError
from selfj_eval.jobs.options import Options, PathLike, option
from selfj_eval.jobs.progress import Watch
from selfj_eval.jobs.tracking import LogOptions
from selfj_eval.raters.protocol import Rater
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.writing import TableOptions

RATERS = (
    "a judge: 'small', 'small-ref' (if every answer has a reference; its scores are not on 0 to "
    "9), 'demo' (a toy), a model folder, a GGUF file, a hub id, or, with engine openai, a "
    "model's name on a server; or another rater: length, trigrams, tfidf, cosine:MODEL, "
    "ppl:MODEL, reward:MODEL, generative:MODEL, a sum such as small+trigrams, or a YAML file "
    "(docs/bench.md)"
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
        super().check()
        loaded = not isinstance(self.judge, str | Path | None)
        if loaded and self.store is not None and getattr(self.judge, "store", self) is not None:
            raise DataError(
                "`store` is for a rater given by name, or a loaded Judge without a store; this one "
                "has the store that it was loaded with."
            )

    def check_judge(self, *more: str) -> None:
        """Refuse how a judge runs where none does.

        Args:
            *more: Names of further options that only a judge needs.
        """
        names = {own.name for own in JudgeOptions.declared()} | {"reference", "store", *more}
        given = [f"`{name}`" for name in self.changed() if name in names]
        if self.judge is None and given:
            raise DataError(
                f"{', '.join(given)}: for a judge that runs; give `judge`, or leave it out."
            )


@dataclass(frozen=True, kw_only=True)
class WorkerOptions(Options):
    """Ray's workers, for a folder."""

    group_title: ClassVar[str] = "workers (engine ray)"

    workers: int | None = option(None, "how many judges to run at a time (default: 1)", low=1)
    worker_gpus: float | None = option(None, "GPUs per worker (default: 0)", low=0, placeholder="G")
    worker_engine: str | None = option(
        None,
        "what runs each worker's judge (default: transformers)",
        ("transformers", "vllm"),
    )


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(RatingOptions, WorkerOptions, TableOptions, ReadOptions, LogOptions):
    """How answers are scored."""

    judge: str | Path | Rater = option(help=RATERS, placeholder="JUDGE")
    output: PathLike | None = option(
        None,
        "file for the scores: .jsonl, .json, .csv or .parquet (default: scores_INPUT.jsonl beside "
        "INPUT, or in the current folder if INPUT is on the hub); for a folder of Parquet files, "
        "a folder (default: INPUT.scores)",
        placeholder="FILE",
    )
    limit: int | None = option(None, "judge only the first N records", low=1)
    engine: str = option(
        "transformers",
        "what runs the judge: transformers, vllm, openai (a judge behind an OpenAI-compatible "
        "server), or ray (workers on one or many machines, for a folder of Parquet files)",
        (*ENGINES, "ray"),
    )

    def check(self) -> None:
        """Refuse what only another engine heeds."""
        super().check()
        self.check_log()
        for name in ("workers", "worker_gpus", "worker_engine"):
            if self.engine != "ray" and getattr(self, name) is not None:
                raise DataError(f"`{name}` needs `engine` ray.")

    @property
    def judge_options(self) -> JudgeOptions:
        """How the judge itself runs, on Ray each worker's."""
        if self.engine == "ray":
            here = self.with_values(
                engine="transformers", workers=None, worker_gpus=None, worker_engine=None
            )
            return here.part(JudgeOptions).with_values(engine=self.worker_engine or "transformers")
        return self.part(JudgeOptions)
