"""What an engine that generates answers offers, how it is asked, and its tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from selfj_eval.engines.models.deadlines import LOADING_SECONDS, RUNNING_SECONDS, within
from selfj_eval.engines.models.folders import read_json
from selfj_eval.engines.models.text_encoder import (
    Encoded,
    Templated,
    TextEncoder,
    fill_chat_template,
)
from selfj_eval.errors import JudgeError, loading
from selfj_eval.generation.options import AUTO, PROMPT_CHOICES, PROMPTS, Sampling
from selfj_eval.storage.store import Answer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Request(NamedTuple):
    """One instruction, ready for an engine.

    Attributes:
        key: Under which its answers are stored.
        tokens: Its prompt.
        limit: Longest answer in tokens: what was asked for, or what fits into the context.
    """

    key: bytes
    tokens: list[int]
    limit: int


class Generator(Protocol):
    """A loaded model that answers instructions.

    Attributes:
        identity: What decides the answers (weights, number format, engine, ...): part of the
            key under which they are stored. Holds no path and no secret.
        prompt: Name of the prompt form.
        context: Most tokens that prompt and answer may have together.
    """

    @property
    def identity(self) -> Mapping[str, str]: ...

    @property
    def prompt(self) -> str: ...

    @property
    def context(self) -> int: ...

    def encode(self, instruction: str) -> list[int]:
        """The tokens of the instruction's prompt, special tokens included."""
        ...

    def batches(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Request]]:
        """All requests in the portions that ``run`` takes; the same for the same requests."""
        ...

    def run(self, batch: Sequence[Request], sampling: Sampling) -> list[tuple[Answer, ...]]:
        """``sampling.n`` answers for each request of one batch, decided by nothing else."""
        ...


def seed_of(requests: Sequence[Request]) -> int:
    """A seed of the requests' own. Their keys hold the seed of the sampling.

    Returns:
        At most 48 bits: vLLM adds the number of the sample, and must not leave 64 bits.
    """
    return int.from_bytes(hashlib.sha256(b"".join(r.key for r in requests)).digest()[:6], "big")


class PromptTokenizer:
    """A model's tokenizer with a prompt form.

    Args:
        folder: The model's folder.
        prompt: Name of the prompt form, or ``auto``.
        adapter: Folder of the adapter that is put on the model.
        trust_remote_code: Whether to run Python code that comes with the model.
        tokenizer: Folder of the tokenizer, where it is not the model's.

    Attributes:
        prompt: Name of the prompt form; no longer ``auto``.
        context: Context length of the model.
        stop_ids: The tokens that end an answer, in ascending order.

    Raises:
        JudgeError: If the tokenizer cannot be loaded or has no chat template where one is needed.
    """

    def __init__(
        self,
        folder: Path,
        prompt: str,
        *,
        adapter: Path | None = None,
        trust_remote_code: bool = False,
        tokenizer: Path | None = None,
    ) -> None:
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig
        from transformers.utils import logging as transformers_logging

        from selfj_eval.engines.models.tokenizer import INCOMPLETE, context_length

        if prompt not in PROMPT_CHOICES:
            raise JudgeError(f"no prompt form {prompt!r}; there are: {', '.join(PROMPT_CHOICES)}.")
        # "sequence length is longer than ...": that is measured here and told by the caller.
        transformers_logging.get_logger("transformers.tokenization_utils_base").setLevel(40)
        with loading(f"the tokenizer of {folder}", INCOMPLETE):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
            place = tokenizer or folder
            self.tokenizer: PreTrainedTokenizerBase = within(
                LOADING_SECONDS,
                lambda: AutoTokenizer.from_pretrained(place, trust_remote_code=trust_remote_code),
                f"reading the tokenizer of {folder}",
            )
            sources = [self.tokenizer, config]
            if (folder / "generation_config.json").is_file():
                sources.append(GenerationConfig.from_pretrained(folder))
        if prompt == AUTO:
            prompt = _form(self.tokenizer, [*([] if adapter is None else [adapter]), folder])
        if prompt == "chat" and not self.tokenizer.chat_template:
            raise JudgeError(
                f"{folder} has no chat template; use `prompt` wizardlm or plain, whichever the "
                "model was trained with."
            )
        within(RUNNING_SECONDS, lambda: self.tokenizer("x"), f"the tokenizer of {folder}")
        self._encoder = TextEncoder(self.tokenizer)
        self.prompt = prompt
        self.context = context_length(config, self.tokenizer)
        # Chat models name the end of a turn in one of these places only.
        stops: set[int] = set()
        for source in sources:
            ids = getattr(source, "eos_token_id", None)
            stops.update(ids if isinstance(ids, list) else [] if ids is None else [ids])
        self.stop_ids = sorted(stops)

    def text(self, instruction: str) -> str:
        """The text of the instruction's prompt, for ``encoded``.

        Raises:
            JudgeError: If the chat template cannot be filled in.
        """
        if self.prompt != "chat":
            # Not str.format: braces in the instruction stay as they are.
            return PROMPTS[self.prompt].replace("{instruction}", instruction)
        turns = [{"role": "user", "content": instruction}]
        return fill_chat_template(self._encoder, turns, add_generation_prompt=True)

    def encoded(self, prompt: str, answer: str = "") -> tuple[Encoded, int]:
        """The tokens of a prompt with the beginning of its answer.

        Special tokens that the instruction or the answer spells are text.

        Args:
            prompt: What ``text`` has given.
            answer: The answer.

        Returns:
            The tokens, and how many characters of the text they are of are the prompt's.
        """
        if not isinstance(prompt, Templated):
            return self._encoder.encode(prompt + answer), len(prompt)
        # The template has written the special tokens itself.
        whole = Templated(prompt + self._encoder.as_text(answer))
        return self._encoder.encode(whole, special=False), self._encoder.length(prompt)

    def encode(self, instruction: str) -> list[int]:
        """The tokens of the instruction's prompt, special tokens included.

        Raises:
            JudgeError: If the chat template cannot be filled in.
        """
        return self.encoded(self.text(instruction))[0].ids

    def encode_answer(self, answer: str) -> list[int]:
        """The tokens of an answer that stands alone, without special tokens."""
        return self._encoder.encode(answer, special=False).ids


def _form(tokenizer: PreTrainedTokenizerBase, folders: Sequence[Path]) -> str:
    """The prompt form that a model was trained with, as far as its folders tell."""
    for folder in folders:
        if (file := folder / "training.json").is_file():
            notes = read_json(file)
            config = notes.get("config") if notes.get("kind") == "sft" else None
            noted = config.get("prompt") if isinstance(config, Mapping) else None
            if noted in PROMPTS:
                return str(noted)
    return "chat" if tokenizer.chat_template else "wizardlm"
