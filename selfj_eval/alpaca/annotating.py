"""How AlpacaEval's GPT-4 annotators ask: with our requests, in place of its own client.

So what holds for a judge behind a server holds for them, too: no redirect is followed, an error in
a reply with status 200 is one, and the server's reason is shown without the key.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from selfj_eval.engines.server.endpoint import URL, Reply
from selfj_eval.engines.server.failures import Failure
from selfj_eval.engines.server.traffic import Traffic
from selfj_eval.errors import JudgeError
from selfj_eval.raters.chatting import only_choice

if TYPE_CHECKING:
    from openai import AsyncOpenAI

logger = logging.getLogger(__name__)

_OPENAI = "https://api.openai.com/v1"
_FIRST_RETRIES = 2  # a server that is not there is found out soon


class Completions:
    """A function of AlpacaEval's kind ``fn_completions``, for chat models.

    It asks the server that OPENAI_BASE_URL names, or OpenAI, with the key in OPENAI_API_KEY.

    Args:
        messages: Makes a chat's messages of a prompt: AlpacaEval's ``prompt_to_chatml``.
        concurrency: Requests under way at once.
    """

    def __init__(
        self, messages: Callable[[str], list[dict[str, Any]]], *, concurrency: int = 5
    ) -> None:
        self._messages = messages
        self._traffic = Traffic(os.environ.get(URL) or _OPENAI, concurrency=concurrency)
        self._answered = False

    def __call__(
        self, prompts: Sequence[str], *, model_name: str, max_tokens: int, **settings: Any
    ) -> dict[str, list[Any]]:
        """Ask for completions, in order.

        Args:
            prompts: The prompts, each a whole chat.
            model_name, max_tokens: The model and the longest reply.
            **settings: Further fields of the request.

        Returns:
            ``completions``: the texts. ``completions_all``: whole choices. A prompt that the server
            refuses (too long, filtered) has an empty text: AlpacaEval keeps it as one without a
            preference, so that no later run meets it again, and it is counted as unscored.

        Raises:
            JudgeError: If one has no reply for another reason; or if the server refuses all of
                several and has answered none before, so that it is not about the prompts.
        """
        fields = {"model": model_name, "max_tokens": max_tokens, "top_p": 1.0, **settings}

        async def ask(client: AsyncOpenAI, prompt: str) -> dict[str, Any] | Failure:
            body = fields | {"messages": self._messages(prompt)}
            endpoint = self._traffic.endpoint
            retries = None if endpoint.tried else _FIRST_RETRIES
            return _choice(await endpoint.ask(client, "chat", body, retries))

        choices: list[dict[str, Any]] = [{"text": ""}] * len(prompts)
        refused = []
        for finished in self._traffic.send(prompts, ask):
            for at, choice in finished.items():
                if isinstance(choice, Failure):
                    refused.append(choice.reason)
                else:
                    choices[at], self._answered = choice, True
        if len(refused) == len(prompts) > 1 and not self._answered:
            raise JudgeError(refused[0])
        for reason in refused:
            logger.warning("unscored: %s", reason)
        return {"completions": [c["text"] for c in choices], "completions_all": choices}


def _choice(reply: Reply | Failure) -> dict[str, Any] | Failure:
    """A choice as AlpacaEval reads it: with its text. A failure if the server refused the prompt.

    Raises:
        JudgeError: If there is none for another reason.
    """
    choice = reply if isinstance(reply, Failure) else only_choice(reply)
    if isinstance(choice, Failure):
        if choice.kind == "refused":
            return choice
        raise JudgeError(choice.reason)
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    # A reply without a text has no preference, and is counted so.
    return {**choice, "text": text if isinstance(text, str) else ""}
