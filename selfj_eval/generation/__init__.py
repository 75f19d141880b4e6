"""Answers to instructions by a model: instructions in, stored and resumable generation, answers.

``base`` says what an engine offers; one file an engine, whose heavy imports happen inside its
functions.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from selfj_eval.arguments import is_missing, items
from selfj_eval.errors import DataError, printable
from selfj_eval.generation.base import PROMPTS, Generator, Request, Sampling
from selfj_eval.notices import Notices
from selfj_eval.questions import QUESTION_FIELDS
from selfj_eval.reading import iter_rows, refuse_repeated_ids
from selfj_eval.records import checked_fields, is_number
from selfj_eval.store import Answer, AnswerStore

_METHOD = 1  # raise when the same key would get other answers

_KNOWN = ("id", "instruction", "reference", "category", "dataset", *QUESTION_FIELDS)


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a model is asked.

    Attributes:
        id: Unique within a file.
        text: The instruction; not empty.
        reference: A good answer, for the judge, or None.
        category: Kind of instruction, or None.
    """

    id: str
    text: str
    reference: str | None = None
    category: str | None = None


class Outcome(NamedTuple):
    """What became of an instruction.

    Attributes:
        answers: All of its answers, or none when there is an error.
        error: Why there is no answer, or None.
        stored: Whether the answers were in the store before.
    """

    answers: tuple[Answer, ...]
    error: str | None
    stored: bool


def read_instructions(path: str | Path, *, notices: Notices | None = None) -> list[Instruction]:
    """Read and check a file of instructions: ``.jsonl``, ``.json``, ``.csv`` or ``.parquet``.

    A row has an ``instruction`` and, if known, an ``id`` (all rows or none; without, the
    position is the id, from 0), a ``reference``, and a ``category`` (or ``dataset``, as
    AlpacaEval calls it). ``input`` (Alpaca), ``system``, ``history`` and ``messages`` become part
    of the instruction. Other fields are ignored.

    Args:
        path: The file.
        notices: Gets what was recognised, converted or ignored.

    Raises:
        DataError: If the file cannot be read, or any row is not a valid instruction.
    """
    path = Path(path)
    notices = Notices() if notices is None else notices
    rows = list(iter_rows(path, fields=_KNOWN, notices=notices))
    if not rows:
        raise DataError("holds no instructions.", path=path)
    own_ids = any(row.get("id") is not None for _, row in rows)
    found = []
    for number, (place, row) in enumerate(rows):
        kind = "dataset" if is_missing(row.get("category")) else "category"
        given = row.get(kind)
        if not (is_missing(given) or isinstance(given, str) or is_number(given)):
            message = f"expected text, got {type(given).__name__}."
            raise DataError(message, path=path, place=place, field=kind)
        # Ignored fields keep their names, which the message on a missing one lists.
        known = {name: value if name in _KNOWN else None for name, value in row.items()}
        values: dict[str, Any] = checked_fields(
            known | {"category": given},
            required=("id", "instruction") if own_ids else ("instruction",),
            path=printable(path),
            place=place,
            notices=notices,
        )
        name = values.get("id", str(number))
        more = {field: values.get(field) for field in ("reference", "category")}
        found.append(Instruction(name, values["instruction"], **more))
    places = [(item.id, place) for item, (place, _) in zip(found, rows, strict=True)]
    refuse_repeated_ids(places, path=path)
    notices.ignore(name for _, row in rows for name in row if name not in _KNOWN)
    return found


def key(generator: Generator, instruction: str, sampling: Sampling) -> bytes:
    """Key of an instruction's answers in a store: 32 bytes, by content, not by id or place."""
    form = [generator.prompt, PROMPTS[generator.prompt]]
    decisive = [_METHOD, dict(sorted(generator.identity.items())), form, asdict(sampling)]
    return hashlib.sha256(json.dumps([*decisive, instruction]).encode()).digest()


def generate(
    generator: Generator,
    instructions: Iterable[str],
    sampling: Sampling,
    *,
    store: AnswerStore | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Answer instructions.

    Batches are formed over all instructions, whether stored or not, draw from random numbers
    of their own, and are stored whole. So a run that was interrupted and goes on gives exactly
    the answers of one that was not.

    Args:
        generator: The loaded model.
        instructions: The instructions. Equal ones get the same answers.
        sampling: How answers are drawn.
        store: Where finished answers are looked up and kept.
        progress: Called with the number of instructions that have just been finished; stored
            and unanswerable ones count at once.

    Returns:
        One outcome an instruction, in their order.

    Raises:
        TypeError: If ``instructions`` is no iterable of texts.
    """
    texts = items(instructions, str, "generate()")
    keys = [key(generator, text, sampling) for text in texts]
    before = {} if store is None else store.get(sorted(set(keys)))
    requests: dict[bytes, Request] = {}
    errors: dict[bytes, str] = {}
    for text, own in zip(texts, keys, strict=True):
        if own in requests or own in errors:
            continue
        tokens = generator.encode(text)
        room = generator.context - len(tokens)
        if room < 1:
            errors[own] = (
                f"its prompt of {len(tokens):,} tokens leaves no room for an answer in the "
                f"model's context of {generator.context:,}; shorten the instruction, or take a "
                "model with a longer context."
            )
        else:
            requests[own] = Request(own, tokens, min(sampling.max_new_tokens, room))
    count = Counter(keys)
    report = progress or (lambda _: None)
    report(sum(own in before or own in errors for own in keys))

    finished = dict(before)
    for batch in generator.batches(list(requests.values()), sampling):
        # All or nothing, unless another list of instructions has shared the store.
        missing = [request for request in batch if request.key not in before]
        if not missing:
            continue
        answers = generator.run(missing, sampling)
        done = {request.key: own for request, own in zip(missing, answers, strict=True)}
        if store is not None:
            store.put(done)
            done = store.get(list(done))  # another process may have been first
        finished |= done
        report(sum(count[own] for own in done))
    return [
        Outcome((), errors[own], False)
        if own in errors
        else Outcome(finished[own], None, own in before)
        for own in keys
    ]
