"""A judge's tokenizer: its labels, character offsets, and how long a prompt may be."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.engines.models.chat_prompts import ChatPrompts
from selfj_eval.engines.models.deadlines import LOADING_SECONDS, RUNNING_SECONDS, within
from selfj_eval.engines.models.text_encoder import TextEncoder
from selfj_eval.engines.models.weights import resolve_folder
from selfj_eval.errors import JudgeError, loading
from selfj_eval.prompts.label_tokens import LabelTokens, label_tokens
from selfj_eval.prompts.templates import (
    DEFAULT_TEMPLATE,
    Offsets,
    PromptTemplate,
    Turn,
    get_template,
    with_marks,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

INCOMPLETE = "Give a folder that is complete, with config.json and tokenizer.json."
"""What to do about a tokenizer that cannot be loaded."""
DEFAULT_MAX_TOKENS = 4096
"""Longest input where a model's context is not known, as behind a server, and of rewards: Self-J's
released judge has a context of 4096 tokens."""
_UNSET = 1e12  # transformers writes 1e30 for "not set"


class JudgeTokenizer:
    """A judge's tokenizer, checked, with the tokens of its labels.

    Special tokens that a prompt spells are text (``TextEncoder``).

    Args:
        model: ``demo``, a folder, or a hub id.
        template: The prompt template that the labels will follow, or its name.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Whether to run Python code that comes with the model.
        tokenizer: Folder of the tokenizer, where it is not the model's.

    Attributes:
        template: The template; of a chat with the marks of the model's chat template.
        chat: Messages to the model's chat template; None for a template that is not a chat.
        labels: The labels' tokens as they follow the template.
        max_tokens: Context length of the model.
        fingerprint: Content hash of the tokenizer.

    Raises:
        JudgeError: If the tokenizer cannot be loaded, gives no character offsets, has one of
            Self-J's digits that is not one token, has other tokens for the labels behind one of
            the template's texts than behind the other, or no chat template where one is asked for.
    """

    def __init__(
        self,
        model: str,
        *,
        template: str | PromptTemplate = DEFAULT_TEMPLATE,
        revision: str | None = None,
        trust_remote_code: bool = False,
        tokenizer: Path | None = None,
    ) -> None:
        folder = resolve_folder(model, revision=revision, code=trust_remote_code, weights=False)
        config, self.tokenizer = load_tokenizer(folder, model, trust_remote_code, tokenizer)
        self._encoder = TextEncoder(self.tokenizer)
        self.template, self.chat = get_template(template), None
        if self.template.chat:
            self.chat = ChatPrompts(self._encoder, model, self.template.prefill)
            self.template = with_marks(self.template, self.chat.marks())
        self.labels = self._label_tokens(model)
        self.max_tokens = context_length(config, self.tokenizer)
        state = self.tokenizer.backend_tokenizer.to_str()
        self.fingerprint = hashlib.sha256(state.encode()).hexdigest()

    def _label_tokens(self, model: str) -> LabelTokens:
        """The labels' tokens, which must be the same behind all prompts of the template."""
        template, chat = self.template, self.chat

        def behind(*example: Any) -> LabelTokens:
            probe = template.render(*example) if chat is None else chat(template.turns(*example))
            kind = type(probe)  # text of a chat template stays such with a label behind it
            return label_tokens(lambda text: self.encode(kind(text)), probe, template.labels, model)

        found = [behind(*example) for example in template.examples]
        if found[0].sequences != found[-1].sequences:
            raise JudgeError(
                f"to the tokenizer of {model} the labels of the template {template.name} are other "
                "tokens after with_reference than after without_reference; let both texts end "
                "alike."
            )
        return found[0]

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text`` with the special tokens the model expects; a chat holds its own."""
        return self.rows([text])[0]

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text with the special tokens the model expects."""
        return self._encoder.rows(texts, special=self.chat is None)

    def offsets(self, text: str) -> Offsets:
        """Character offsets of the tokens of ``text``, special tokens included."""
        return self._encoder.encode(text, special=self.chat is None).offsets

    def in_chat(self, turns: Sequence[Turn]) -> str:
        """Messages in the model's chat template, which ``encode`` and ``offsets`` take as such.

        Raises:
            JudgeError: If the prompt template is not a chat.
        """
        if self.chat is None:
            raise JudgeError(f"the template {self.template.name} is not a chat.")
        return self.chat(turns)

    def count_at_server(self, text: str) -> int:
        """Tokens of ``text`` at a server, to which the special tokens it spells are such."""
        return len(self.tokenizer(text).input_ids)


def load_tokenizer(
    folder: Path, name: str, trust_remote_code: bool = False, tokenizer: Path | None = None
) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
    """A model's configuration and its tokenizer, which gives character offsets.

    Args:
        folder: The model's folder.
        name: What the user calls the model, for errors.
        trust_remote_code: Whether to run Python code that comes with the model.
        tokenizer: Folder of the tokenizer, where it is not the model's.

    Raises:
        JudgeError: If they cannot be loaded, or the tokenizer gives no offsets.
    """
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    # "sequence length is longer than ...": prompts are trimmed after they are measured.
    transformers_logging.get_logger("transformers.tokenization_utils_base").setLevel(40)
    with loading(f"the tokenizer of {name}", INCOMPLETE):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        place = tokenizer or folder
        loaded: PreTrainedTokenizerBase = within(
            LOADING_SECONDS,
            lambda: AutoTokenizer.from_pretrained(place, trust_remote_code=trust_remote_code),
            f"reading the tokenizer of {name}",
        )
    if not loaded.is_fast:
        raise JudgeError(
            f"the tokenizer of {name} gives no character offsets, which trimming needs; "
            "give a folder with a tokenizer.json."
        )
    _longest(loaded)  # fails now if it is no number
    # The first call drops the truncation that a tokenizer's file may ask for. That changes the
    # tokenizer, which must not happen while another thread uses it; later calls change nothing.
    probe = get_template(DEFAULT_TEMPLATE).probe()
    within(RUNNING_SECONDS, lambda: (loaded(""), loaded(probe)), f"the tokenizer of {name}")
    return config, loaded


def context_length(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """As lm-eval finds it, so that both trim alike; 2048 when nothing says.

    Raises:
        JudgeError: If what is said is no number of tokens.
    """
    text_config = getattr(config, "text_config", None) or config
    for name in ("n_positions", "max_position_embeddings", "n_ctx"):
        if (length := getattr(text_config, name, None)) is not None:
            return _tokens(length, f"{name} in the config.json", config.name_or_path)
    named = _longest(tokenizer)
    return named if named < _UNSET else 2048


def encoder_length(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Longest text of an encoder: its positions, less those a RoBERTa keeps for padding.

    Raises:
        JudgeError: As for ``context_length``.
    """
    positions = context_length(config, tokenizer)
    if "roberta" in str(config.model_type):
        padding = config.pad_token_id
        taken = 1 + padding if isinstance(padding, int) else 1
        what = f"max_position_embeddings, less {taken} for padding, in the config.json"
        positions = _tokens(positions - taken, what, config.name_or_path)
    return min(positions, _longest(tokenizer))


def _longest(tokenizer: PreTrainedTokenizerBase) -> int:
    """Longest text that a tokenizer's own file allows."""
    file = "model_max_length in the tokenizer_config.json"
    return _tokens(tokenizer.model_max_length, file, tokenizer.name_or_path)


def _tokens(value: object, what: str, folder: str) -> int:
    """A number of tokens.

    Raises:
        JudgeError: If it is none, naming what it is.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 1 <= value < math.inf:  # type: ignore[operator]
        raise JudgeError(
            f"{what} of {folder} must be a number of tokens, at least 1; it is {value!r:.40}. "
            "Correct it, or fetch the model again."
        )
    return int(value)  # type: ignore[call-overload, no-any-return]
