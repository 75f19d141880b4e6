"""What an engine that runs a judge offers to the rest of the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from selfj_eval.prompts.templates import Offsets, PromptTemplate, Turn

if TYPE_CHECKING:  # the command's help takes its choices from here, and numpy takes a while
    import numpy as np
    import numpy.typing as npt


class Batch(NamedTuple):
    """Finished prompts.

    Attributes:
        indices: Positions of the m prompts in the sequence given to ``score``.
        log_probabilities: Shape (m, k), float64. Log-probabilities of the template's k labels
            (Self-J's: "0".."9") behind the prompt, in the softmax over the whole vocabulary. NaN
            rows could not be scored.
        reasons: Why, by position, where the backend knows.
    """

    indices: list[int]
    log_probabilities: npt.NDArray[np.float64]
    reasons: Mapping[int, str] = {}


class Backend(Protocol):
    """A loaded judge.

    Attributes:
        identity: What decides the numbers (weights, number format, ...): part of the key under
            which a judgment is stored. Holds no path and no secret.
        template: The prompt template whose labels it scores.
        max_tokens: Longest prompt the judge takes by default.
        usage: What a server was asked for so far, by what it is called (``requests``, ...);
            empty for a judge that runs here.
    """

    @property
    def identity(self) -> Mapping[str, str]: ...

    @property
    def template(self) -> PromptTemplate: ...

    @property
    def max_tokens(self) -> int: ...

    @property
    def usage(self) -> Mapping[str, float]: ...

    def tokenize(self, text: str) -> Offsets:
        """Character offsets of the tokens of ``text``, special tokens included."""
        ...

    def chat(self, turns: Sequence[Turn]) -> str:
        """The prompt that messages become, where the template is a chat."""
        ...

    def score(self, prompts: Sequence[str]) -> Iterator[Batch]:
        """Judge all prompts, in an order of the backend's choice; yields as batches finish.

        Several threads may call it at a time.
        """
        ...


CHAT_TOKENS = 128
"""Room in the context for what a server's chat template adds."""


def reserved_tokens(engine: str, engine_args: Mapping[str, Any]) -> int:
    """Tokens of the context that no prompt may take, because the engine needs them."""
    if engine not in ("vllm", "openai"):
        return 0
    return 1 + (CHAT_TOKENS if engine_args.get("api") == "chat" else 0)  # 1 is answered


def longest_first(ids: Sequence[Sized], batch_tokens: int) -> Iterator[list[int]]:
    """Positions of rows of tokens in batches, longest rows first.

    Args:
        ids: The rows.
        batch_tokens: Most tokens a batch has when it is padded, unless one row has more.
    """
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]), reverse=True)
    start = 0
    while start < len(order):
        rows = max(1, batch_tokens // len(ids[order[start]]))
        yield order[start : start + rows]
        start += rows
