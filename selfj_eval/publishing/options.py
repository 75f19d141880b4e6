"""What the community's formats need to be told: a scores file does not say it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from selfj_eval.errors import DataError
from selfj_eval.jobs.options import Options, PathLike, option

EVAL_RESULTS, EVERY_EVAL_EVER = "eval-results", "every-eval-ever"

_PART = r"[A-Za-z0-9_](?:[\w.-]*[\w-])?"
_MODEL = re.compile(rf"{_PART}/{_PART}", re.ASCII)
_DATASET = re.compile(rf"{_PART}(?:/{_PART})?", re.ASCII)
_WEB = re.compile(r"https?://\S+")


@dataclass(frozen=True, kw_only=True)
class EvalResultsOptions(Options):
    """What only ``.eval_results`` has."""

    group_title: ClassVar[str] = "format eval-results"

    metric: str | None = option(
        None, "for an evaluation: the headline metric to publish, such as spearman",
        placeholder="METRIC",
    )  # fmt: skip
    source_url: str | None = option(
        None,
        "web page that the result comes from, such as the page of the scores",
        placeholder="URL",
    )
    source_name: str | None = option(None, "title of that page", placeholder="NAME")


@dataclass(frozen=True, kw_only=True)
class EveryEvalEverOptions(Options):
    """What only Every Eval Ever has."""

    group_title: ClassVar[str] = "format every-eval-ever"

    organization: str | None = option(None, "who ran the evaluation (needed)", placeholder="NAME")
    relationship: str | None = option(
        None,
        "relationship of that organization to the model's makers (needed)",
        ("first_party", "third_party", "collaborative", "other"),
    )
    deployment: str = option(
        "unknown", "who ran the model", ("self_deployed", "externally_managed", "unknown")
    )
    availability: str = option(
        "unknown",
        "availability of the model's weights",
        ("open_weights", "closed_weights", "unknown"),
    )
    dataset_url: str | None = option(
        None, "where the data set is, if it is not on the hub", placeholder="URL"
    )
    judge: str | None = option(
        None, "the judge's public name (default: the name in the run file)", placeholder="NAME"
    )
    judge_prompt: PathLike | None = option(
        None, "text file with the judge's prompt; needed if the run file does not name the prompt, "
        "or the prompt is a chat or has a rubric",
        placeholder="FILE",
    )  # fmt: skip
    correct_at: float | None = option(
        None,
        "an answer is counted as correct (is_correct) if its score is at least this (default: 6 "
        "for scores on 0 to 9)",
        placeholder="S",
    )
    samples: bool = option(
        True, "also write a line with texts and score for each scored answer (default: yes)"
    )


@dataclass(frozen=True, kw_only=True)
class ExportOptions(EvalResultsOptions, EveryEvalEverOptions):
    """What is exported, and under which names."""

    format: str = option(
        help="eval-results: .eval_results/*.yaml for a model's repository on the hub; "
        "every-eval-ever: JSON and sample lines for the Every Eval Ever collection",
        choices=(EVAL_RESULTS, EVERY_EVAL_EVER),
    )
    output: PathLike = option(help="folder to write the files into", placeholder="FOLDER")
    model: str = option(
        help="the evaluated model, owner/name: the model that wrote the answers or, for an "
        "evaluation, the judge",
        placeholder="OWNER/NAME",
    )
    dataset: str = option(
        help="the data set: OWNER/NAME on the hub; for every-eval-ever, any name",
        placeholder="DATASET",
    )
    task: str | None = option(
        None,
        "the task within the data set; eval-results needs it: the id in the data set's eval.yaml",
        placeholder="TASK",
    )
    dataset_revision: str | None = option(
        None, "commit of the data set on the hub", placeholder="COMMIT"
    )
    answers_of: str | None = option(
        None,
        "for a file with answers of several models: the model whose answers to use",
        placeholder="NAME",
    )

    def check(self) -> None:
        """Refuse names that no such file can hold, and what only the other format has."""
        self.need(_MODEL.fullmatch(self.model), "model", "must be owner/name")
        expected = "must be a name or owner/name, of letters, digits, '.', '_' and '-'"
        self.need(_DATASET.fullmatch(self.dataset), "dataset", expected)
        for name in ("model", "dataset"):  # Every Eval Ever's own folder is called so
            parts = getattr(self, name).split("/")
            self.need("data" not in parts, name, "must have no part that is called data")
        self.need(self.task is None or _DATASET.fullmatch(self.task), "task", expected)
        for name in ("source_url", "dataset_url"):
            given = getattr(self, name)
            self.need(
                given is None or _WEB.fullmatch(given), name, "must begin with http:// or https://"
            )
        if self.source_name is not None and self.source_url is None:
            raise DataError("`source_name` needs `source_url`.")
        self._check_format()

    def _check_format(self) -> None:
        if self.format == EVAL_RESULTS:
            other: type[Options] = EveryEvalEverOptions
            needed = {"task": "the task's id in the eval.yaml of the data set"}
            self.need("/" in self.dataset, "dataset", "must be owner/name of the hub")
        else:
            other = EvalResultsOptions
            needed = {
                "organization": "who ran the evaluation",
                "relationship": "first_party, third_party, collaborative or other",
            }
        foreign = {each.name for each in other.declared()} & {*self.changed()}
        if foreign:
            names = ", ".join(f"`{name}`" for name in sorted(foreign))
            raise DataError(f"{names}: `format` {self.format} has no place for it; leave it out.")
        for name, what in needed.items():
            if not getattr(self, name):
                raise DataError(f"`format` {self.format} needs `{name}`: {what}.")
