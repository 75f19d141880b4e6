"""Asking a model for replies: what the generative rater needs, and a loaded model that does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from selfj_eval.engines.server.failures import Failure
from selfj_eval.generation.answering import answers_to, key
from selfj_eval.generation.base import Generator
from selfj_eval.generation.options import PROMPTS, Sampling
from selfj_eval.storage.store import Answer, AnswerStore

_TOGETHER = 256  # prompts that are given to the model at a time; it keeps its own batches


class Asker(Protocol):
    """A model that replies to prompts, always the same to the same one."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What decides the replies. Holds no path and no secret."""
        ...

    @property
    def usage(self) -> Mapping[str, float]:
        """What was used so far: ``requests``, ``prompt_tokens``, ... Empty for a loaded model."""
        ...

    def key(self, prompt: str) -> bytes:
        """Key of a prompt's reply in a store: 32 bytes, by content."""
        ...

    def ask(
        self, prompts: Sequence[str], answers: AnswerStore | None
    ) -> Iterator[Mapping[int, Answer | Failure]]:
        """Ask for replies that are not stored.

        Args:
            prompts: No two alike.
            answers: Where replies are kept, before they are yielded.

        Yields:
            What has just been finished, by position in ``prompts``, each position once.

        Raises:
            JudgeError: If nothing more can be asked. What was yielded before is kept.
        """
        ...


class GeneratorAsker:
    """A loaded model, which replies with the likeliest tokens.

    Args:
        generator: The model, with its prompt form.
        max_new_tokens: Longest reply.
    """

    def __init__(self, generator: Generator, *, max_new_tokens: int) -> None:
        self._generator = generator
        self._sampling = Sampling(max_new_tokens=max_new_tokens)
        self.usage: Mapping[str, float] = {}
        self.identity: Mapping[str, str] = {
            **generator.identity,
            "prompt": generator.prompt,
            "prompt text": PROMPTS[generator.prompt],
            "max_new_tokens": str(max_new_tokens),
        }

    def key(self, prompt: str) -> bytes:
        """Key of a prompt's reply in a store: that of ``generation``."""
        return key(self._generator, prompt, self._sampling)

    def ask(
        self, prompts: Sequence[str], answers: AnswerStore | None
    ) -> Iterator[Mapping[int, Answer | Failure]]:
        """Ask for replies; the model's batches are kept as they finish."""
        for start in range(0, len(prompts), _TOGETHER):
            part = prompts[start : start + _TOGETHER]
            outcomes = answers_to(self._generator, part, self._sampling, store=answers)
            yield {
                at: Failure("refused", outcome.error) if outcome.error else outcome.answers[0]
                for at, outcome in enumerate(outcomes, start)
            }
