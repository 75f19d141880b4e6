"""lm-eval's logs of generation tasks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.conversations import as_text, turns_of, unrendered
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import ALIASES, Layout, Source
from selfj_eval.records.notices import Notices
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.record import is_number

LM_EVAL_FIELDS = ("doc_id", "doc", "target", "arguments", "resps")
"""What is read of lm-eval's samples."""
_OTHER_MEDIA = ("visual", "audio")  # as lm-eval's multimodal requests have them


def _sample_rows(source: Source) -> Rows:
    """The answers in lm-eval's log of a generation task, or in several such logs one after another.

    The whole answer is judged (``resps``), not what a filter extracted from it. The
    instruction is the document's ``instruction``, else the prompt the model was given; the
    reference is the document's ``reference``, else the target. A document's number is unique only
    within one task and model: the same number with another question or answer is another record.
    """
    seen: dict[int, dict[bytes, None]] = {}
    notices = source.notices
    for place, row in source.rows:
        number = row.get("doc_id")
        if not isinstance(number, int):
            raise source.error(
                place, "doc_id", "expected the document's number, as lm-eval writes it."
            )
        resps = row.get("resps")
        answers = resps[0] if isinstance(resps, list) and len(resps) == 1 else resps
        answers = [None] if is_missing(answers) else answers
        if (
            not isinstance(answers, list)
            or not answers
            or not all(isinstance(answer, str) or is_missing(answer) for answer in answers)
        ):
            raise source.error(
                place,
                "resps",
                "holds no generated text; only the samples of generation tasks "
                "(output_type generate_until) can be judged.",
            )
        try:
            fields = _question(row, notices) | _reference(row, notices)
        except ValueError as error:
            raise source.error(
                place, "arguments", f"{error}; a judge of text cannot read it."
            ) from error
        decisive = json.dumps([fields, answers], sort_keys=True, default=str).encode()
        others = seen.setdefault(number, {})
        digest = hashlib.sha256(decisive).digest()[:16]
        if digest in others:
            notices.count("rows that repeat a question and its answers, dropped")
            continue
        others[digest] = None
        own = str(number)
        if len(others) > 1:  # another task's or model's document of the same number
            own = f"{number}#{len(others)}"
            notices.count("rows with the doc_id of another question or answer, made unique by #")
        for index, answer in enumerate(answers):
            name = own if len(answers) == 1 else f"{own}-{index}"
            yield place, {"id": name, "response": answer, **fields}


def _question(row: Mapping[str, Any], notices: Notices) -> dict[str, Any]:
    """What the model was asked, as fields of a record."""
    doc = row["doc"] if isinstance(row.get("doc"), dict) else {}
    category = doc.get("category")
    found: dict[str, Any] = {
        "category": category if isinstance(category, str) or is_number(category) else None
    }
    instruction = doc.get("instruction")
    if isinstance(instruction, str) and instruction.strip():
        return found | {"instruction": instruction} | {n: doc.get(n) for n in QUESTION_FIELDS}
    if not is_missing(instruction) and instruction != "":
        kind = type(instruction).__name__
        notices.count(f"documents whose instruction is not text ({kind}); the prompt is used")
    prompt = row.get("arguments")
    for request in prompt.values() if isinstance(prompt, dict) else ():
        for part in request.values() if isinstance(request, dict) else ():
            for name in _OTHER_MEDIA if isinstance(part, dict) else ():
                if part.get(name):
                    raise ValueError(f"the prompt comes with {name!r}, which is not text")
    turns = None
    while isinstance(prompt, dict | list) and prompt:
        if (turns := turns_of(prompt)) is not None:
            break
        prompt = next(iter(prompt.values() if isinstance(prompt, dict) else prompt))
    if isinstance(prompt, str):
        turns = unrendered(prompt)
    if turns is not None:
        notices.count("prompts that are chat requests, read as messages")
        prompt = as_text(turns)
    return found | {"instruction": prompt}


def _reference(row: Mapping[str, Any], notices: Notices) -> dict[str, Any]:
    """A good answer: the text of a number, the first of several."""
    doc = row["doc"] if isinstance(row.get("doc"), dict) else {}
    value = doc.get("reference")
    if is_missing(value) or value in ("", []):
        value = row.get("target")
    if isinstance(value, list | tuple):
        aliases = [item for item in value if not is_missing(item) and item != ""]
        if len(aliases) > 1:
            notices.count(ALIASES)
        value = aliases[0] if aliases else None
    if is_number(value):
        notices.count("references that are numbers, read as text")
        value = json.dumps(value)
    if not is_missing(value) and not isinstance(value, str):
        kind = type(value).__name__
        notices.count(f"references that are neither text nor number ({kind}), not used")
        value = None
    return {"reference": None if is_missing(value) else value}


LM_EVAL = (
    Layout(
        "lm-eval",
        "lm-eval's samples of a generation task",
        ("doc", "resps"),
        _sample_rows,
        without=("response",),
    ),
)
