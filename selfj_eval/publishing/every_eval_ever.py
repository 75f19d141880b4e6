"""Every Eval Ever, schema 0.3.0: a document on a model, and a line for each of its answers."""

from __future__ import annotations

import hashlib
import json
import math
import time
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from selfj_eval.errors import DataError, JudgeError
from selfj_eval.evaluation.options import GOOD_AT
from selfj_eval.files.documents import Document
from selfj_eval.judging.scored import Scored
from selfj_eval.prompts.labels import MAX_SCORE, MIN_SCORE
from selfj_eval.prompts.templates import PromptTemplate, get_template
from selfj_eval.publishing.findings import Finding, Findings
from selfj_eval.publishing.names import is_place
from selfj_eval.publishing.options import ExportOptions
from selfj_eval.raters.rating_formats import get_format
from selfj_eval.records.conversations import messages_of

SCHEMA = "0.3.0"


def every_eval_ever(found: Findings, options: ExportOptions) -> dict[PurePosixPath, bytes]:
    """The files' places in the collection, and their content; the samples first.

    The same numbers of the same model on the same data set have the same places again.

    Raises:
        DataError: If something is missing that the schema wants.
    """
    evaluation = "/".join(filter(None, (options.dataset, options.task)))
    now = int(time.time())
    common = {
        "schema_version": SCHEMA,
        "evaluation_id": f"{evaluation}/{options.model}/{now}",
    }
    folder = PurePosixPath("data", options.dataset.replace("/", "_"), options.model)
    own = [found.source_sha256, found.about, options.model, evaluation, options.answers_of]
    stem = UUID(bytes=hashlib.sha256(json.dumps(own).encode()).digest()[:16], version=4)
    document = common | {
        "retrieved_timestamp": str(now),
        "source_metadata": {
            "source_type": "evaluation_run",
            "source_organization_name": options.organization,
            "evaluator_relationship": options.relationship,
        },
        "eval_library": {"name": "selfj-eval", "version": found.version or "unknown"},
        "model_info": _model(options.model, options.deployment, options.availability),
        "evaluation_results": [
            _result(result, found, evaluation, options) for result in found.results
        ],
    }
    if found.made is not None:
        document["evaluation_timestamp"] = found.made
    files = dict[PurePosixPath, bytes]()
    if options.samples and found.about == "answers":
        link = {
            "model_id": options.model,
            "evaluation_name": evaluation,
            "evaluation_result_id": _result_id(evaluation, found.results[0]),
        }
        threshold = _correct_at(found, options)
        lines = [common | link | _sample(answer, threshold) for answer in found.answers]
        content = "".join(f"{_json(line)}\n" for line in lines).encode()
        place = folder / f"{stem}_samples.jsonl"
        files[place] = content
        document["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": str(place),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(content).hexdigest(),
            "total_rows": len(lines),
        }
    files[folder / f"{stem}.json"] = f"{_json(document, indent=1)}\n".encode()
    return files


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)


def _model(name: str, deployment: str, availability: str, **more: str) -> dict[str, Any]:
    details = {"deployment_type": deployment, "model_availability": availability}
    return {"name": name.split("/")[-1], "id": name, "additional_details": details | more}


def _result_id(evaluation: str, result: Finding) -> str:
    return f"{evaluation}#{result.metric}"


def _result(
    result: Finding, found: Findings, evaluation: str, options: ExportOptions
) -> dict[str, Any]:
    config = {
        "metric_id": result.metric,
        "metric_name": result.name,
        "lower_is_better": result.lower_is_better,
        "score_type": "continuous",
        "min_score": _bound(result.low),
        "max_score": _bound(result.high),
    }
    if found.about == "answers":
        config |= _scoring(found, options)
    return {
        "evaluation_result_id": _result_id(evaluation, result),
        "evaluation_name": evaluation,
        "source_data": _source(options),
        "metric_config": config,
        "score_details": {
            "score": result.value,
            "details": {"records": str(found.records), "unscored": str(found.unscored)},
            "uncertainty": _uncertainty(result),
        },
    }


def _bound(value: float) -> float | str:
    """A bound, in the words that the schema has for infinity."""
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(value)


def _source(options: ExportOptions) -> dict[str, Any]:
    found: dict[str, Any] = {"dataset_name": options.dataset}
    if options.dataset_url is not None:
        found |= {"source_type": "url", "url": [options.dataset_url]}
    elif "/" in options.dataset:
        found |= {"source_type": "hf_dataset", "hf_repo": options.dataset}
    else:
        found["source_type"] = "other"
    if options.dataset_revision is not None:
        found["additional_details"] = {"revision": options.dataset_revision}
    return found


def _uncertainty(result: Finding) -> dict[str, Any]:
    found: dict[str, Any] = {"num_samples": result.n}
    if result.deviation is not None:
        found["standard_deviation"] = result.deviation
    if (interval := result.interval) is not None:
        found["confidence_interval"] = {
            "lower": interval.low,
            "upper": interval.high,
            "confidence_level": interval.confidence,
            "method": f"bootstrap ({interval.method})",
        }
        found["num_bootstrap_samples"] = result.resamples
    return found


def _scoring(found: Findings, options: ExportOptions) -> dict[str, Any]:
    """What made the scores: a language model with its prompt, or another rater by its name."""
    judge = _judge_name(found, options)
    prompts = _prompts(found, options)
    if prompts is None:
        return {"additional_details": {"rater": judge}}
    identity = Document(Path("run file"), found.judge).get(dict, "identity") or {}
    local = isinstance(identity.get("dtype"), str)  # of a server nothing is known but its name
    hashes = {"sha256": identity.get("model"), "adapter_sha256": identity.get("adapter")}
    more = {name: str(value) for name, value in hashes.items() if local and value}
    where = "self_deployed" if local else "unknown"
    scoring: dict[str, Any] = {
        "judges": [{"model_info": _model(judge, where, "unknown", **more)}],
        "input_prompt": prompts[0],
    }
    if len(prompts) > 1:
        scoring["additional_details"] = {"input_prompt_without_reference": prompts[1]}
    return {"llm_scoring": scoring}


def _judge_name(found: Findings, options: ExportOptions) -> str:
    if options.judge is not None:
        return options.judge
    names = [found.judge.get(part) for part in ("model", "adapter")]
    if not isinstance(names[0], str):
        message = "which judge made the scores; name it as `judge`, and its prompt as"
        raise _unsaid(found, f"{message} `judge_prompt`")
    known = [name for name in names if isinstance(name, str)]
    for name in known:
        if is_place(name):
            message = f"the judge {name!r} is a folder of this machine; give its public name as "
            raise DataError(f"{message}`judge`.")
    return "+".join(known)


def _unsaid(found: Findings, what: str) -> DataError:
    """The error of a run file that is not there, or does not say what it should."""
    return DataError(f"no run file ({found.source}.run.json) says {what}.")


def _prompts(found: Findings, options: ExportOptions) -> list[str] | None:
    """The judge's prompts that were used, the one with reference first; None of other raters."""
    if options.judge_prompt is not None:
        return [_text(Path(options.judge_prompt))]
    template, form = found.judge.get("template"), found.judge.get("format")
    if template is None and form is None:
        if found.judge:
            return None
        message = "with which prompt the answers were judged; give its text as `judge_prompt`"
        raise _unsaid(found, message)
    try:
        known: Any = get_template(str(template)) if form is None else get_format(str(form))
    except JudgeError:
        message = f"the prompt {str(template or form)!r} is not one of selfj-eval's; give its text"
        raise DataError(f"{message} as `judge_prompt`.") from None
    if isinstance(known, PromptTemplate) and (
        known.chat or known.shows("rubric") or known.shows("criterion")
    ):
        message = f"the template {known.name!r} is only a part of what the judge was shown: a chat "
        message += "or a rubric is filled in around it; give the whole prompt as `judge_prompt`."
        raise DataError(message)
    shown = found.judge.get("reference") is not False
    with_one = [shown and a.reference is not None for a in found.answers]
    texts = [known.with_reference if any(with_one) else None]
    texts += [None if all(with_one) else known.without_reference]
    return [text for text in texts if text is not None]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("cannot be read as UTF-8 text; name another file.", path=path) from error


def _correct_at(found: Findings, options: ExportOptions) -> float:
    if options.correct_at is not None:
        return options.correct_at
    low, high = found.scale
    if (low, high) != (MIN_SCORE, MAX_SCORE):
        have = "have no scale" if math.isinf(high) else f"are on {low:g} to {high:g}"
        message = f"each sample line says whether the answer is correct, and these scores {have}"
        raise DataError(f"{message}: give the lowest correct score as `correct_at`.")
    return GOOD_AT


def _sample(answer: Scored, threshold: float) -> dict[str, Any]:
    for name in ("instruction", "response"):
        if getattr(answer, name) is None:
            raise DataError(
                f"the answer {answer.id!r} has no {name}, which its sample line needs; score a "
                "file with texts, or turn `samples` off.",
                field=name,
            )
    reference = [] if answer.reference is None else [answer.reference]
    # A system prompt and one question are a single turn, whose text is the whole of both.
    several = any(turn.role not in ("system", "user") for turn in answer.messages or ())
    last: dict[str, Any] = {"role": "assistant", "content": answer.response}
    said = [*messages_of(answer.messages or ()), last]
    turns = [{"turn_idx": at, **turn} for at, turn in enumerate(said)]
    line: dict[str, Any] = {
        "sample_id": answer.id,
        "interaction_type": "multi_turn" if several else "single_turn",
        "input": {"raw": answer.question, "reference": reference},
        **({"messages": turns} if several else {"output": {"raw": [answer.response]}}),
        "answer_attribution": [
            {
                "turn_idx": len(turns) - 1 if several else 0,
                "source": "messages[turn_idx].content" if several else "output.raw",
                "extracted_value": answer.response,
                "extraction_method": "llm_judge",
                "is_terminal": True,
            }
        ],
        "evaluation": {
            "score": answer.score,
            "is_correct": answer.score is not None and answer.score >= threshold,
        },
    }
    if answer.category is not None:
        line["metadata"] = {"category": answer.category}
    return line
