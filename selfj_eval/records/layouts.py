"""Layouts of other programs' files that are read as records: lm-eval, AlpacaEval."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.conversations import as_text, turns_of, unrendered
from selfj_eval.records.formats import Rows
from selfj_eval.records.notices import Notices
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.record import is_number

LM_EVAL_FIELDS = ("doc_id", "doc", "target", "arguments", "resps")
"""What is read of lm-eval's samples."""
_OTHER_MEDIA = ("visual", "audio")  # as lm-eval's multimodal requests have them
_ALPACA_EVAL = {"response": "output", "model": "generator", "category": "dataset"}

# Fields by which other layouts are known, to name them; the first that fits counts.
_FOREIGN = (
    (("conversations",), "a chat in ShareGPT's layout"),
    (("conversation_a", "conversation_b"), "pairs of chats in the arena's layout"),
    (("chosen", "rejected"), "preference pairs (RewardBench, TRL)"),
    (("preferred_output", "non_preferred_output"), "preference pairs (OpenAI)"),
    (("custom_id", "response"), "the output of an OpenAI batch"),
    (("question_id", "choices"), "answers in FastChat's layout (MT-bench)"),
    (("question_id", "turns"), "questions in FastChat's layout (MT-bench)"),
    (("uid", "messages"), "answers in arena-hard's layout"),
    (("messages",), "chat messages"),
)


def foreign_layout(row: Mapping[str, Any]) -> str | None:
    """The layout of another program that a row seems to have, for messages; None if it has none."""
    for names, layout in _FOREIGN:
        if all(name in row for name in names):
            return layout
    return None


def lm_eval_samples(rows: Rows, path: Path | None, notices: Notices) -> Rows:
    """The answers in lm-eval's log of a generation task, or in several such logs one after another.

    The whole answer is judged (``resps``), not what a filter extracted from it. The
    instruction is the document's ``instruction``, else the prompt the model was given; the
    reference is the document's ``reference``, else the target. A document's number is unique only
    within one task and model: the same number with another question or answer is another record.
    """
    seen: dict[int, dict[bytes, None]] = {}
    for place, row in rows:

        def fail(field: str, message: str, place: str = place) -> DataError:
            return DataError(message, path=path, place=place, field=field)

        number = row.get("doc_id")
        if not isinstance(number, int):
            raise fail("doc_id", "expected the document's number, as lm-eval writes it.")
        resps = row.get("resps")
        answers = resps[0] if isinstance(resps, list) and len(resps) == 1 else resps
        answers = [None] if is_missing(answers) else answers
        if (
            not isinstance(answers, list)
            or not answers
            or not all(isinstance(answer, str) or is_missing(answer) for answer in answers)
        ):
            raise fail(
                "resps",
                "holds no generated text; only the samples of generation tasks "
                "(output_type generate_until) can be judged.",
            )
        try:
            fields = _question(row, notices) | _reference(row, notices)
        except ValueError as error:
            raise fail("arguments", f"{error}; a judge of text cannot read it.") from error
        decisive = json.dumps([fields, answers], sort_keys=True, default=str).encode()
        others = seen.setdefault(number, {})
        digest = hashlib.sha256(decisive).digest()[:16]
        if digest in others:
            notices.count("rows with a question and answers that were there before, dropped")
            continue
        others[digest] = None
        own = str(number)
        if len(others) > 1:  # another task's or model's document of the same number
            own = f"{number}#{len(others)}"
            notices.count("rows with the doc_id of another question or answer, told apart by #")
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
        notices.count(f"documents with an instruction that is no text ({kind}), the prompt taken")
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
        notices.count("prompts that are chat requests, taken apart")
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
            notices.count("references with several aliases, the first taken")
        value = aliases[0] if aliases else None
    if is_number(value):
        notices.count("references that are numbers, taken as text")
        value = json.dumps(value)
    if not is_missing(value) and not isinstance(value, str):
        kind = type(value).__name__
        notices.count(f"references that are neither text nor number ({kind}), not used")
        value = None
    return {"reference": None if is_missing(value) else value}


def alpaca_eval_names(columns: Collection[str], names: Mapping[str, str]) -> dict[str, str]:
    """What the fields of a record are called in AlpacaEval's ``model_outputs``.

    Args:
        columns: The fields of the first row.
        names: As the user says; these go before.
    """
    known = {f: n for f, n in _ALPACA_EVAL.items() if f not in columns and n in columns}
    return known | dict(names)
