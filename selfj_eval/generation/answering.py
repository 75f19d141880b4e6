"""From instructions to stored answers, resumably."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import NamedTuple

from selfj_eval.generation.base import Generator, Request
from selfj_eval.generation.options import PROMPTS, Sampling
from selfj_eval.jobs.arguments import items
from selfj_eval.storage.resume import resume
from selfj_eval.storage.store import Answer, AnswerStore

_METHOD = 1  # raise when the same key would get other answers


class AnswerOutcome(NamedTuple):
    """What became of an instruction.

    Attributes:
        answers: All of its answers, or none when there is an error.
        error: Why there is no answer, or None.
        stored: Whether the answers were in the store before.
    """

    answers: tuple[Answer, ...]
    error: str | None
    stored: bool


def key(generator: Generator, instruction: str, sampling: Sampling) -> bytes:
    """Key of an instruction's answers in a store: 32 bytes, by content, not by id or place."""
    form = [generator.prompt, PROMPTS[generator.prompt]]
    decisive = [_METHOD, dict(sorted(generator.identity.items())), form, asdict(sampling)]
    return hashlib.sha256(json.dumps([*decisive, instruction]).encode()).digest()


def answers_to(
    generator: Generator,
    instructions: Iterable[str],
    sampling: Sampling,
    *,
    store: AnswerStore | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[AnswerOutcome]:
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
        One outcome per instruction, in their order.

    Raises:
        TypeError: If ``instructions`` is no iterable of texts.
    """
    texts = items(instructions, str, "answers_to()")
    keys = [key(generator, text, sampling) for text in texts]
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
    new = set[bytes]()

    def run(left: Mapping[bytes, int]) -> Iterator[dict[bytes, tuple[Answer, ...]]]:
        for batch in generator.batches(list(requests.values()), sampling):
            # All or nothing, unless another list of instructions has shared the store.
            missing = [request for request in batch if request.key in left]
            if not missing:
                continue
            answers = generator.run(missing, sampling)
            done = {request.key: own for request, own in zip(missing, answers, strict=True)}
            if store is not None:
                store.put(done)
                done = store.get(list(done))  # another process may have been first
            new.update(done)
            yield done

    answerable = [b"" if own in errors else own for own in keys]
    finished, _ = resume(answerable, store, run, progress)
    return [
        AnswerOutcome((), errors[own], False)
        if own in errors
        else AnswerOutcome(finished[own], None, own not in new)
        for own in keys
    ]
