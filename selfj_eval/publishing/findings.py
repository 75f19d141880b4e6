"""What there is to publish: of scored answers their mean score, of an evaluation its metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from selfj_eval.errors import DataError, printable, some
from selfj_eval.evaluation.result import KIND, Evaluation
from selfj_eval.files.documents import Document, read_json
from selfj_eval.judging.scales import scale_of
from selfj_eval.judging.scored import Scored, as_scores, groups
from selfj_eval.metrics import LABELS, LOWER_IS_BETTER, Headline
from selfj_eval.metrics.bootstrap import RESAMPLES, bootstrap_of_counts
from selfj_eval.metrics.pair_order import Counts
from selfj_eval.metrics.result import Array, Interval
from selfj_eval.publishing.options import ExportOptions

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike

    Exportable: TypeAlias = ScoresLike | Evaluation
    """Scored answers, or an evaluation: a file, or what a verb returned."""

_BOUNDS = {
    **dict.fromkeys(("pearson", "spearman", "kendall_tau_b"), (-1.0, 1.0)),
    **dict.fromkeys(("acc23", "auroc", "aurc", "ece"), (0.0, 1.0)),
    "augrc": (0.0, 0.5),
    "prr": (-math.inf, 1.0),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One number about a model.

    Attributes:
        metric: Its identifier.
        name: What people call it.
        value: Finite.
        low, high: What it can be at most and at least; infinite where it is not bounded.
        lower_is_better: Which way is better.
        n: How many answers it was computed on.
        interval: Its confidence interval, or None.
        resamples: Of the bootstrap behind the interval.
        deviation: Standard deviation of the answers' scores, of a mean over two or more.
    """

    metric: str
    name: str
    value: float
    low: float
    high: float
    lower_is_better: bool
    n: int
    interval: Interval | None
    resamples: int
    deviation: float | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known of a model, and how it came about.

    Attributes:
        about: ``answers``: a model, by a judge's scores; ``judge``: a judge, by ratings.
        results: The numbers.
        undefined: The metrics that have no value, with their reasons.
        answers: The scored answers; of an evaluation none, it does not hold them.
        records, unscored: How many answers there were, and how many of them have no score.
        source: The scores file, or what stands for it; of an evaluation the document.
        source_sha256: Of the content that the numbers were computed on.
        judge: What the run file says of the judge; empty where there is no such file.
        made: When the answers were scored (ISO 8601), if it is known.
        version: Of the selfj-eval that scored them, if it is known.
    """

    about: str
    results: Sequence[Finding]
    undefined: Sequence[str]
    answers: Sequence[Scored]
    records: int
    unscored: int
    source: str
    source_sha256: str
    judge: Mapping[str, Any]
    made: str | None
    version: str | None

    @property
    def scale(self) -> tuple[float, float]:
        """Ends of the scores' scale."""
        return scale_of(self.judge)


def findings_of(given: Exportable, options: ExportOptions) -> Findings:
    """What is to be published of scored answers or an evaluation.

    Raises:
        DataError: If it cannot be read, holds no number, or an option does not fit it.
    """
    document = _evaluation(given)
    if document is None:
        _refuse(options, "scored answers", ("metric",))
        return _of_scores(given, options)
    unfit = ("answers_of", "judge", "judge_prompt", "correct_at")
    _refuse(options, "an evaluation of a judge", unfit)
    return _of_evaluation(document)


def _refuse(options: ExportOptions, what: str, names: Sequence[str]) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise DataError(f"`{name}` is not for {what}; leave it out.")


def _evaluation(given: Any) -> Document | None:
    """The evaluation that is given; None where it is something else."""
    if isinstance(given, Evaluation):
        return Document(Path("evaluation"), given.to_dict())
    if not isinstance(given, str | Path) or Path(given).suffix.lower() != ".json":
        return None
    path = Path(given)
    try:
        with path.open("rb") as stream:
            is_object = stream.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}.", path=path) from error
    if not is_object:
        return None
    content = read_json(path)
    if content.get("kind") != KIND:
        message = (
            f"expected scored answers, or what `selfj eval` prints as JSON (kind {KIND!r}); name "
            "another file."
        )
        raise DataError(message, path=path)
    return Document(path, content)


def _of_scores(given: Any, options: ExportOptions) -> Findings:
    scores = as_scores(given)
    answers = sorted(_of_one_model(scores.answers, options, scores.path), key=lambda a: a.id)
    scored = [a for a in answers if a.score is not None]
    if not scored:
        raise DataError("no answer has a score: there is nothing to publish.", path=scores.path)
    run = Document(Path(f"{scores.path}.run.json"), scores.run)
    judge = run.get(dict, "judge") or {}
    return Findings(
        about="answers",
        results=[_mean(scored, scale_of(judge))],
        undefined=(),
        answers=scored,
        records=len(answers),
        unscored=len(answers) - len(scored),
        source=scores.path,
        source_sha256=scores.sha256,
        judge=judge,
        made=run.get(str, "made"),
        version=run.get(str, "versions", "selfj-eval"),
    )


def _of_one_model(answers: Sequence[Scored], options: ExportOptions, path: str) -> Sequence[Scored]:
    models = sorted({str(a.model) for a in answers if a.model is not None})
    if options.answers_of is not None:
        found = [a for a in answers if a.model == options.answers_of]
        if not found:
            known = f"there are {some(models, 10)}" if models else "no answer names its model"
            message = f"holds no answers of {options.answers_of!r}: {known}."
            raise DataError(message, path=path, field="model")
        return found
    if len({a.model for a in answers}) > 1:
        message = (
            f"holds answers of several models ({some(models, 10)}); name one of them as "
            "`answers_of`."
        )
        raise DataError(message, path=path, field="model")
    return answers


def _mean(scored: Sequence[Scored], scale: tuple[float, float]) -> Finding:
    values = np.array([a.score for a in scored], dtype=float)

    def mean(count: Counts) -> Array:
        return np.array([count @ values / count.sum()])

    drawn = bootstrap_of_counts(mean, len(values), group=groups(scored))
    return Finding(
        metric="mean_score",
        name="Mean judge score",
        value=float(values.mean()),
        low=scale[0],
        high=scale[1],
        lower_is_better=False,
        n=len(values),
        interval=drawn.intervals[0],
        resamples=RESAMPLES,
        deviation=float(values.std(ddof=1)) if len(values) > 1 else None,
    )


def _of_evaluation(document: Document) -> Findings:
    results, undefined = list[Finding](), list[str]()
    level = document.get(float, "settings", "confidence")
    resamples = document.get(float, "settings", "resamples")
    for metric in Headline._fields:
        found = ("headline", metric)
        value, n = (document.get(float, *found, name) for name in ("value", "n"))
        if value is None or n is None:
            reason = document.get(str, *found, "undefined") or "it is not in the document"
            undefined.append(f"{metric}: {reason}")
            continue
        low, high = (document.get(float, *found, end) for end in ("low", "high"))
        interval = None
        if None not in (low, high, level):
            method = document.get(str, *found, "method") or "bootstrap"
            interval = Interval(float(low or 0), float(high or 0), float(level or 0), method)
        results.append(
            Finding(
                metric,
                LABELS[metric],
                value,
                *_BOUNDS[metric],
                metric in LOWER_IS_BETTER,
                int(n),
                interval,
                int(resamples or 0),
            )
        )
    if not results:
        message = f"no headline metric has a value ({some(undefined, 2, '; ')})."
        raise DataError(message, path=document.path)
    records, unscored = (document.get(float, "counts", x) or 0 for x in ("records", "unscored"))
    run = ("provenance", "run")
    return Findings(
        about="judge",
        results=results,
        undefined=undefined,
        answers=(),
        records=int(records),
        unscored=int(unscored),
        source=printable(document.path),
        source_sha256=document.get(str, "provenance", "scores_sha256") or "",
        judge=document.get(dict, *run, "judge") or {},
        made=document.get(str, *run, "made"),
        version=document.get(str, *run, "versions", "selfj-eval"),
    )
