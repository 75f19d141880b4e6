"""Asking a chat server for replies: GPT-4, or any model behind OpenAI's protocol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from selfj_eval.engines.server.failures import Failure
from selfj_eval.engines.server.traffic import (
    ARGUMENTS,
    ServerArguments,
    Traffic,
    check_bounds,
    checked_arguments,
)
from selfj_eval.storage.store import Answer, AnswerStore

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_METHOD = 1  # raise when the same prompt would be asked otherwise, beside its body
_BYTES = 64  # that a token may have in a reply, escaped
_FINISHED = ("stop", "length", "content_filter")


class ChatAsker:
    """A model behind a chat server, asked at temperature 0, one request a prompt.

    The key is read from OPENAI_API_KEY and from nowhere else; a local server needs none.

    Args:
        model: The model's name at the server.
        max_new_tokens: Longest reply.
        **server: ``base_url`` and what else ``engines.server.traffic.Traffic`` takes.

    Raises:
        JudgeError: If the package ``openai`` is missing, or an argument cannot be used.
    """

    def __init__(
        self, model: str, *, max_new_tokens: int, **server: Unpack[ServerArguments]
    ) -> None:
        check_bounds("max_new_tokens", max_new_tokens, 1, 1_000_000)
        self._model, self._limit = model, max_new_tokens
        self._traffic = Traffic(**server, more=_BYTES * max_new_tokens)
        self.identity: Mapping[str, str] = {
            "engine": "openai",
            "api": "chat",
            "model": model,
            "max_new_tokens": str(max_new_tokens),
        }

    @classmethod
    def with_args(
        cls, model: str, *, max_new_tokens: int, engine_args: Mapping[str, Any]
    ) -> ChatAsker:
        """The asker with arguments as a user has given them.

        Args:
            model, max_new_tokens: As for the class.
            engine_args: The class's other arguments, by name; None is the default.

        Raises:
            JudgeError: If one is unknown or of the wrong type, or as for the class.
        """
        given = checked_arguments(engine_args, ARGUMENTS)
        return cls(model, max_new_tokens=max_new_tokens, **given)

    @property
    def usage(self) -> Mapping[str, float]:
        """As for ``engines.server.traffic.Traffic``."""
        return self._traffic.usage

    def key(self, prompt: str) -> bytes:
        """Key of a prompt's reply in a store: 32 bytes, by model and content, not by server."""
        decisive = ["chat", _METHOD, self._body(prompt)]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).digest()

    def ask(
        self, prompts: Sequence[str], answers: AnswerStore | None
    ) -> Iterator[Mapping[int, Answer | Failure]]:
        """Ask for replies; each is kept as it comes, before the next one is waited for."""
        for finished in self._traffic.send(prompts, self._reply):
            replies = {
                self.key(prompts[at]): (got,)
                for at, got in finished.items()
                if not isinstance(got, Failure)
            }
            if answers is not None and replies:
                answers.put(replies)
            yield finished

    def _body(self, prompt: str) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": self._limit,
        }

    async def _reply(self, client: AsyncOpenAI, prompt: str) -> Answer | Failure:
        got = await self._traffic.endpoint.ask(client, "chat", self._body(prompt))
        return got if isinstance(got, Failure) else _read(got)


def only_choice(reply: Mapping[str, Any]) -> Mapping[str, Any] | Failure:
    """The one choice of a chat completion, whatever it holds."""
    choices = reply.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
        given = f"{len(choices)} choices" if isinstance(choices, list) else "no choices"
        return Failure("passing", f"the server gave {given}; expected one.")
    return choices[0]


def _read(reply: Mapping[str, Any]) -> Answer | Failure:
    """The text of a chat completion, whatever it holds."""
    choice = only_choice(reply)
    if isinstance(choice, Failure):
        return choice
    message, finish = choice.get("message"), choice.get("finish_reason")
    if finish not in (*_FINISHED, None):
        reason = f"the server ended its reply with {str(finish)[:40]!r}; expected stop or length."
        return Failure("passing", reason)
    texts = message if isinstance(message, Mapping) else {}
    # Some services put a refusal into a place of its own, and nothing beside it.
    text = next((texts[k] for k in ("content", "refusal") if texts.get(k) is not None), None)
    if text is None and finish in ("length", "content_filter"):
        text = ""
    if not isinstance(text, str):
        return Failure("passing", "the server's reply holds no text.")
    return Answer(text.strip(), finish or "stop")
