"""What a reward model makes of an answer: a sequence classifier with one output."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.engines.base import longest_first
from selfj_eval.engines.local.batching import Batcher, Scores
from selfj_eval.engines.local.batching import batch_tokens as default_tokens
from selfj_eval.engines.models.loading import choose_device, choose_dtype, load_weights
from selfj_eval.engines.models.text_encoder import TextEncoder, fill_chat_template
from selfj_eval.engines.models.tokenizer import (
    DEFAULT_MAX_TOKENS,
    context_length,
    encoder_length,
    load_tokenizer,
)
from selfj_eval.engines.models.weights import fingerprint, model_folders
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.labels import DIGITS
from selfj_eval.prompts.templates import Offsets, keep_ends
from selfj_eval.raters.base import MeasureOutcome
from selfj_eval.raters.batched import BatchedRater
from selfj_eval.records.record import Record
from selfj_eval.storage.store import Measure, MeasureStore

if TYPE_CHECKING:
    from transformers import PretrainedConfig

FORMS: Mapping[str, str] = {
    "chat": "the tokenizer's chat template, over the user's and the assistant's turn",
    "human": "Human: {instruction}\nAssistant: {response}",
    "pair": "the tokenizer's text pair",
}
"""Forms of the input by name. ``human`` is UltraRM's, as its model card's examples have it."""

_FOREIGN_HEAD = "regression_head"  # how UltraRM calls what transformers calls score


@dataclass(frozen=True, slots=True)
class _Row:
    """A text, ready for the model.

    Attributes:
        ids: Token ids.
        types: Which of the two texts of a pair a token belongs to; empty where the model does
            not ask.
    """

    ids: list[int]
    types: list[int]

    def __len__(self) -> int:  # what the batches are formed by
        return len(self.ids)


class RewardRater(BatchedRater[_Row]):
    """The reward of an answer, on the model's own scale: any real number.

    Reward models of the classifier kind: one output, read at the last token of a decoder or at an
    encoder's first. UltraRM's layout (a Llama with a head named ``regression_head``; row
    "UltraRM" of Self-J's table) is loaded as well, without code of its own.

    Too long an answer loses its middle, down to a quarter of the room; then the instruction does.

    Args:
        model: A model folder or hub id.
        prompt: Name of the input's form (``FORMS``), which should be that of the model's
            training; by default ``chat`` for a tokenizer with a chat template, else ``pair`` for an
            encoder and ``human`` for a decoder.
        revision, dtype, device, batch_tokens, trust_remote_code: As for
            ``engines.local.transformers.TransformersBackend``.
        max_tokens: Longest input; by default what the model takes, at most
            ``DEFAULT_MAX_TOKENS``.
        store: Where rewards are looked up and kept.

    Attributes:
        prompt, max_tokens: As given, or the default.
        device, dtype: What the model runs on and in.

    Raises:
        JudgeError: If it cannot be loaded whole and safely, or has another number of outputs.
    """

    def __init__(
        self,
        model: str,
        *,
        prompt: str | None = None,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_tokens: int | None = None,
        trust_remote_code: bool = False,
        max_tokens: int | None = None,
        store: MeasureStore | None = None,
    ) -> None:
        folder = model_folders(model, revision=revision, code=trust_remote_code).model
        config, self._tokenizer = load_tokenizer(folder, model, trust_remote_code)
        self._encoder = TextEncoder(self._tokenizer)
        renamed = _has_foreign_head(folder)
        if not renamed:
            _refuse_other_outputs(config, model)
        encoder = _is_encoder(config)
        self.prompt = self._form(prompt, encoder, model)
        length = (encoder_length if encoder else context_length)(config, self._tokenizer)
        self.max_tokens = min(length, DEFAULT_MAX_TOKENS) if max_tokens is None else max_tokens
        if not 16 <= self.max_tokens <= length:
            raise JudgeError(f"max_tokens must be in 16..{length} for {model}, got {max_tokens}.")
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        decides = {"dtype": self.dtype, "prompt": self.prompt, "max_tokens": str(self.max_tokens)}
        super().__init__({"model": fingerprint(folder), **decides}, store=store)
        head: dict[str, Any] = {"num_labels": 1, "key_mapping": {f"^{_FOREIGN_HEAD}": "score"}}
        self._model = load_weights(
            folder,
            dtype=self.dtype,
            trust_remote_code=trust_remote_code,
            encoder=True,
            device_map={"": self.device},
            **(head if renamed else {}),
        ).eval()
        name = "token_type_ids"
        self._types = name in inspect.signature(self._model.forward).parameters
        self._types &= name in self._tokenizer.model_input_names
        self._vocabulary = int(self._model.get_input_embeddings().weight.shape[0])
        # UltraRM's own code reads the last token, whatever it is.
        own = None if renamed else config.get_text_config().pad_token_id
        self._padding = own if own is not None and 0 <= own < self._vocabulary else None
        self._formed("x", "x")  # fails now if the form cannot be filled in
        tokens = batch_tokens or default_tokens(config, self.device, self._model.dtype.itemsize)
        self._batcher = Batcher(longest_first, tokens, self.device)

    def _form(self, prompt: str | None, encoder: bool, model: str) -> str:
        chat = bool(self._tokenizer.chat_template)
        if prompt is None:
            return "chat" if chat else "pair" if encoder else "human"
        if prompt not in FORMS:
            raise JudgeError(f"no input form {prompt!r}; there are: {', '.join(FORMS)}.")
        if prompt == "chat" and not chat:
            raise JudgeError(
                f"{model} has no chat template; use the prompt human or pair, whichever the model "
                "was trained with."
            )
        return prompt

    def outcome(self, measure: Measure) -> MeasureOutcome:
        """The reward; the reason is that of one that is not finite."""
        reason = f"the model gives no finite reward in {self.dtype}; try `dtype` float32 or "
        return MeasureOutcome(measure, f"{reason}bfloat16.")

    def _formed(self, instruction: str, response: str) -> _Row:
        """The two texts in the model's form.

        Raises:
            JudgeError: If the chat template cannot be filled in.
        """
        texts, special = [instruction, response], True
        if self.prompt == "human":
            texts = [f"Human: {instruction}\nAssistant: {response}"]
        elif self.prompt == "chat":
            turns = [
                {"role": "user", "content": instruction},
                {"role": "assistant", "content": response},
            ]
            texts = [fill_chat_template(self._encoder, turns)]
            special = False  # the template has written them itself
        encoded = self._encoder.encode(*texts, special=special)
        return _Row(encoded.ids, encoded.types if self._types else [])

    def row(self, record: Record) -> tuple[_Row, int]:
        """A row of at most ``max_tokens``, and how many tokens of the texts are not in it.

        Raises:
            JudgeError: If there is none.
        """
        instruction, response = record.question, record.response
        row = self._formed(instruction, response)
        if len(row) <= self.max_tokens:
            return row, 0
        texts = (response, instruction)
        spans = [self._spans(text) for text in texts]
        keep = [len(part) for part in spans]
        least = (self.max_tokens // 4, 0)
        # The mark of a cut has tokens, too, and pieces may join differently at the seams.
        while (excess := len(row) - self.max_tokens) > 0:
            index = next((at for at in (0, 1) if keep[at] > least[at]), None)
            if index is None:
                raise JudgeError(
                    f"no input of {self.max_tokens} tokens can be made of it; raise max_tokens."
                )
            keep[index] = max(least[index], keep[index] - excess)
            response, instruction = map(keep_ends, texts, spans, keep)
            row = self._formed(instruction, response)
        return row, sum(map(len, spans)) - sum(keep)

    def _spans(self, text: str) -> Offsets:
        offsets = self._encoder.encode(text, special=False).offsets
        return [span for span in offsets if span[1] > span[0]]

    def forward(self, rows: Sequence[_Row]) -> Scores:
        """Rewards of rows, shape (len(rows), 1)."""
        import torch

        # A decoder's head is read at the last token that is not the padding token, by its id. Where
        # the model's configuration names one, that is what it was trained with; elsewhere it
        # must be none of the batch's.
        padding = self._padding
        if padding is None:
            ids = range(self._vocabulary)
            present = {token for row in rows for token in row.ids}
            last = {row.ids[-1] for row in rows}
            padding = next(at for taken in (present, last) for at in ids if at not in taken)
            self._model.config.get_text_config().pad_token_id = padding
        width = max(map(len, rows))
        gaps = [width - len(row) for row in rows]
        batch = [[*row.ids, *[padding] * gap] for row, gap in zip(rows, gaps, strict=True)]
        inputs = {
            "input_ids": batch,
            "attention_mask": [[1] * (width - gap) + [0] * gap for gap in gaps],
        }
        if rows[0].types:
            inputs["token_type_ids"] = [
                [*row.types, *[0] * gap] for row, gap in zip(rows, gaps, strict=True)
            ]
        with torch.inference_mode():
            logits = self._model(
                **{name: torch.tensor(lines).to(self.device) for name, lines in inputs.items()}
            ).logits
        if logits.shape != (len(rows), 1):
            raise JudgeError(
                f"{type(self._model).__name__} gives {tuple(logits.shape)} numbers for {len(rows)} "
                "answers; a reward model has one output."
            )
        found: Scores = logits.float().cpu().double().numpy()
        return found


def _is_encoder(config: PretrainedConfig) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def _has_foreign_head(folder: Path) -> bool:
    """Whether the weights of a checked folder are in UltraRM's layout."""
    from safetensors import SafetensorError, safe_open

    names: set[str] = set()
    try:
        for file in folder.glob("*.safetensors"):
            with safe_open(file, "pt") as weights:
                names.update(weights.keys())
    except SafetensorError:
        return False  # the loader says what is wrong
    return f"{_FOREIGN_HEAD}.weight" in names and "score.weight" not in names


def _refuse_other_outputs(config: Any, model: str) -> None:
    if config.num_labels == 1:
        return
    names = [str(config.id2label[at]) for at in sorted(config.id2label)]
    if sorted(names) == list(DIGITS):
        raise JudgeError(
            f"{model} is a judge (ten classes, the digits), not a reward model; use it as one: "
            f"`judge` {model}, or the rater {model}."
        )
    architecture = ", ".join(map(str, config.architectures or ["of no known architecture"]))
    if "ForSequenceClassification" not in architecture:
        raise JudgeError(
            f"{model} ({architecture}) is not a reward model: it must be a sequence classifier "
            "with one output (num_labels 1 in its config.json)."
        )
    raise JudgeError(
        f"{model} is a classifier with {len(names)} outputs ({', '.join(names[:3])}"
        f"{', ...' if len(names) > 3 else ''}), not a reward model, which has one."
    )
