"""What a server's count of tokens says: whether it reads prompts whole, and with which tokens.

The count is an optional field, and servers differ: some leave out the tokens that their cache
held, some estimate. So a count alone decides nothing. Where one is too low, the server is asked
once about a text that no cache can hold, because it begins at random: what it leaves out then, it
has not read.
"""

from __future__ import annotations

import logging
import secrets
from typing import Literal

from selfj_eval.engines.models.tokenizer import JudgeTokenizer
from selfj_eval.engines.server.completions import Question, TokenUsage, tokens_used
from selfj_eval.engines.server.endpoint import Endpoint
from selfj_eval.engines.server.failures import Failure
from selfj_eval.engines.server.session import ask_now
from selfj_eval.errors import JudgeError

logger = logging.getLogger(__name__)

PROBE_RETRIES = 2
_SAME = 0.1  # largest relative difference between two counts of a cut prompt
_SHORT = 24  # tokens of a text that tells two tokenizers apart


class Counting:
    """One server's counts beside those of a tokenizer.

    Args:
        endpoint: The server.
        question: How it is asked.
        tokenizer: The tokenizer of its model, as the user says.
        max_tokens: Longest prompt that it will get.
    """

    def __init__(
        self, endpoint: Endpoint, question: Question, tokenizer: JudgeTokenizer, max_tokens: int
    ) -> None:
        self._endpoint, self._question = endpoint, question
        self._tokenizer, self._max_tokens = tokenizer, max_tokens
        self._read_whole = 0  # tokens of the longest prompt that was counted in full
        self._noted = False
        self._limit: int | Literal["none", "unknown"] | None = None  # None: not looked for yet

    def check(self, prompt: str, used: TokenUsage, by_id: bool) -> None:
        """Compare the counts of a first, short prompt.

        Args:
            prompt: The prompt.
            used: What the server has counted.
            by_id: Whether digits are found by their ids, which another tokenizer makes wrong.

        Raises:
            JudgeError: If the server's model has another tokenizer, and digits are found by ids.
        """
        own = self._tokens(prompt)
        if self._question.api == "chat":  # whose template adds tokens
            return
        if _agree(used, own):
            self._read_whole = own if used.prompt else 0
            return
        if used.prompt < own:  # an earlier run's prompt may lie in the cache
            text = self._random(_SHORT)
            again = self._ask(text)
            if isinstance(again, TokenUsage) and _agree(again, self._tokens(text)):
                return
        counts = f"the server reads a prompt as {used.prompt} tokens, the tokenizer as {own}"
        if by_id:
            raise JudgeError(
                f"{counts}: it is not the tokenizer of the server's model. Give that one, or none."
            )
        self._limit = "unknown"
        self._note(
            f"{counts}. The server may only estimate, or use another tokenizer; then prompts may "
            "be cut without need, or be too long for it"
        )

    def cut(self, sent: int, used: TokenUsage) -> str | None:
        """Why a prompt's answer does not count: the server has cut the prompt. Else None.

        Args:
            sent: The prompt's tokens.
            used: What the server has counted.
        """
        if used.prompt >= sent:
            self._read_whole = max(self._read_whole, sent)
            return None
        # Some servers count the tokens that their cache held, others do not, and none says which.
        counts = (used.prompt, used.prompt + used.cached)
        known = self._limit if isinstance(self._limit, int) else None
        if counts[1] == 0 or (counts[1] == sent and (known is None or sent <= known)):
            return None
        if self._limit is None:
            self._limit = self._find_limit()
        if self._limit == "none" or (isinstance(self._limit, int) and sent <= self._limit):
            return None
        # Where a server cuts, it counts the same of all that is too long, and all of the rest.
        if isinstance(limit := self._limit, int) and limit >= self._read_whole:
            read = min(counts, key=lambda count: abs(count - limit))
            if abs(read - limit) <= _SAME * limit:
                return (
                    f"the server has read {read} of about {sent} tokens, so it has cut the "
                    "prompt; raise its context length, or lower `max_tokens`."
                )
        self._note(
            f"the server counts {used.prompt} tokens of a prompt of {sent}. Either it does not "
            "count cached tokens, or it cuts prompts and their scores are based on a part; its "
            "counts do not tell which. Such replies are scored"
        )
        return None

    def _note(self, text: str) -> None:
        """Say something of the counts, once."""
        if not self._noted:
            self._noted = True
            logger.warning("selfj: note: %s.", text)

    def _find_limit(self) -> int | Literal["none", "unknown"]:
        """How many tokens the server reads of the longest prompt, where it cuts it."""
        text = self._random(self._max_tokens)
        used, sent = self._ask(text), self._tokens(text)
        if isinstance(used, Failure):  # what is too long for it is refused, not cut
            return "none" if used.kind == "refused" else "unknown"
        if not used.prompt:
            return "unknown"
        return "none" if used.prompt >= sent else used.prompt

    def _ask(self, text: str) -> TokenUsage | Failure:
        body = self._question.body(text)
        got = ask_now(self._endpoint, self._question.api, body, PROBE_RETRIES)
        return got if isinstance(got, Failure) else tokens_used(got)

    def _random(self, tokens: int) -> str:
        """A text of so many tokens that is never the same twice, from its beginning on."""
        text = " ".join(secrets.token_hex(4) for _ in range(tokens))
        spans = self._tokenizer.offsets(text)[:tokens]
        return text[: spans[-1][1]]

    def _tokens(self, text: str) -> int:
        return self._tokenizer.count_at_server(text)


def _agree(used: TokenUsage, own: int) -> bool:
    return used.prompt in (0, own) or used.prompt + used.cached == own
