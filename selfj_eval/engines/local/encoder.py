"""Judging with an encoder: a sequence classifier whose ten classes are the digits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from selfj_eval.engines.base import Batch, longest_first
from selfj_eval.engines.local.batching import Batcher, Rows, Scores
from selfj_eval.engines.local.batching import batch_tokens as default_tokens
from selfj_eval.engines.models.loading import choose_device, choose_dtype, load_weights
from selfj_eval.engines.models.text_encoder import TextEncoder
from selfj_eval.engines.models.tokenizer import encoder_length, load_tokenizer
from selfj_eval.engines.models.weights import model_folders
from selfj_eval.errors import JudgeError
from selfj_eval.jobs.arguments import items
from selfj_eval.prompts.labels import DIGITS
from selfj_eval.prompts.templates import SECTIONS, Offsets, Turn, get_template

if TYPE_CHECKING:
    import torch


def is_encoder(folder: Path) -> bool:
    """Whether a model folder holds a sequence classifier, which is no causal judge."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = config.get("architectures") or []
    except (OSError, ValueError, AttributeError):
        return False  # the loader says what is wrong
    return isinstance(names, list) and any(
        str(name).endswith("ForSequenceClassification") for name in names
    )


class EncoderBackend:
    """An encoder judge in transformers, for several threads as ``TransformersBackend`` is.

    The softmax over its ten classes takes the place of the digit tokens' probabilities, so its
    digit mass is always 1.

    Args:
        model: A model folder or hub id.
        revision, dtype, device, batch_tokens, trust_remote_code: As for
            ``engines.local.transformers.TransformersBackend``.

    Raises:
        JudgeError: If it cannot be loaded whole and safely, or its classes are not the digits.
    """

    usage: Mapping[str, float] = {}

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_tokens: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        folders = model_folders(model, revision=revision, code=trust_remote_code)
        folder = folders.model
        self.template = get_template(SECTIONS)
        config, self._tokenizer = load_tokenizer(folder, model, trust_remote_code)
        self._encoder = TextEncoder(self._tokenizer)
        named = {str(label): int(at) for at, label in dict(config.id2label).items()}
        if sorted(named) != list(DIGITS):
            raise JudgeError(
                f"{model} is a classifier with {len(named)} classes ({', '.join(list(named)[:3])}"
                "...), not a judge: its classes must be the ten digits. Train one with selfj "
                "train judge (`architecture` encoder)."
            )
        self._classes = [named[digit] for digit in DIGITS]
        self.max_tokens = encoder_length(config, self._tokenizer)
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        loaded = load_weights(
            folder,
            dtype=self.dtype,
            trust_remote_code=trust_remote_code,
            encoder=True,
            device_map={"": self.device},
        )
        self._model = loaded.eval()
        tokens = batch_tokens or default_tokens(config, self.device, loaded.dtype.itemsize)
        self._batcher = Batcher(longest_first, tokens, self.device)
        self.identity: Mapping[str, str] = {**folders.identity(), "dtype": self.dtype}

    def tokenize(self, text: str) -> Offsets:
        """Character offsets of the tokens of ``text``, special tokens included."""
        return self._encoder.encode(text).offsets

    def chat(self, turns: Sequence[Turn]) -> str:
        """Not what an encoder reads.

        Raises:
            JudgeError: Always.
        """
        raise JudgeError("an encoder judge has no chat template.")

    def score(self, prompts: Iterable[str]) -> Iterator[Batch]:
        """Judge all prompts, longest first.

        Args:
            prompts: Finished prompts of at most ``max_tokens`` tokens.

        Yields:
            Batches with float64 log-probabilities of shape (m, 10).
        """
        texts = items(prompts, str, "score()")
        if not texts:
            return
        yield from self._batcher.run(self._encoder.rows(texts), self._forward)

    def _forward(self, rows: Rows) -> Scores:
        import torch

        width = max(map(len, rows))
        batch = torch.zeros(len(rows), width, dtype=torch.long)
        if self._tokenizer.pad_token_id is not None:
            batch += self._tokenizer.pad_token_id
        mask = torch.zeros_like(batch)
        for at, row in enumerate(rows):
            batch[at, : len(row)] = torch.tensor(row)
            mask[at, : len(row)] = 1
        with torch.inference_mode():
            logits: torch.Tensor = self._model(
                input_ids=batch.to(self.device), attention_mask=mask.to(self.device)
            ).logits
        found: Scores = logits.double().log_softmax(-1)[:, self._classes].cpu().numpy()
        return found
