"""``.eval_results/*.yaml``: one result in a model's repository on the hub, as the hub reads it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import PurePosixPath

from selfj_eval.errors import DataError
from selfj_eval.metrics import LOWER_IS_BETTER, Headline
from selfj_eval.publishing.findings import Finding, Findings
from selfj_eval.publishing.options import ExportOptions
from selfj_eval.raters.specs import short_name


def eval_results(found: Findings, options: ExportOptions) -> dict[PurePosixPath, bytes]:
    """The file's place in the model's repository, and its content.

    Raises:
        DataError: If the installed huggingface_hub does not know the format, or ``metric`` names no
            number that there is.
    """
    try:
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    except ImportError as error:
        raise DataError(
            f"`format` eval-results needs huggingface_hub 1.4 or newer, which knows the format; "
            f"{version('huggingface_hub')} is installed. pip install -U huggingface_hub"
        ) from error
    import yaml

    result = _chosen(found, options)
    entry = EvalResultEntry(
        dataset_id=options.dataset,
        task_id=str(options.task),
        value=result.value,
        dataset_revision=options.dataset_revision,
        date=found.made,
        source_url=options.source_url,
        source_name=options.source_name,
        notes=_notes(found, result),
    )
    content = eval_result_entries_to_yaml([entry])
    name = f"{options.dataset}_{options.task}".replace("/", "_")
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return {PurePosixPath(".eval_results", f"{name}.yaml"): text.encode()}


def _chosen(found: Findings, options: ExportOptions) -> Finding:
    """The one number that the format has room for."""
    if found.about == "answers":
        return found.results[0]
    if options.metric is None:
        message = "an evaluation has several metrics, and .eval_results room for one; name it as "
        raise DataError(f"{message}`metric`: {', '.join(r.metric for r in found.results)}.")
    for result in found.results:
        if result.metric == options.metric:
            return result
    for reason in found.undefined:
        if reason.startswith(f"{options.metric}:"):
            raise DataError(f"the evaluation has no value of {reason}.")
    known = ", ".join(Headline._fields)
    raise DataError(f"`metric`: there is no {options.metric!r}; there are: {known}.")


def _notes(found: Findings, result: Finding) -> str:
    """What a reader of the number has to know, with no path of this machine."""
    better = ", lower is better" if result.metric in LOWER_IS_BETTER else ""
    parts = [f"{result.name}{better}"]
    if found.about == "answers" and result.high < float("inf"):
        parts[0] += f" from {result.low:g} to {result.high:g}"
    if found.about == "answers" and isinstance(judge := found.judge.get("model"), str):
        parts.append(f"judge {short_name(judge)}")
    if isinstance(shown := found.judge.get("reference"), bool):
        parts.append("references shown where known" if shown else "no references shown")
    parts.append(f"on {result.n:,} of {found.records:,} answers, {found.unscored:,} unscored")
    return "; ".join([*parts, f"selfj-eval {found.version or ''}".strip()])
