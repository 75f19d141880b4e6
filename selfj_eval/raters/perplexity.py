"""How likely a language model finds the answer: its perplexity, given the instruction."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from selfj_eval.engines.base import longest_first
from selfj_eval.engines.local.batching import Batcher, Scores
from selfj_eval.engines.local.batching import batch_tokens as default_tokens
from selfj_eval.engines.local.cpu_linear import speed_up_checked
from selfj_eval.engines.models.loading import choose_device, choose_dtype, load_model
from selfj_eval.engines.models.weights import model_folders
from selfj_eval.errors import JudgeError
from selfj_eval.generation.base import PromptTokenizer
from selfj_eval.generation.options import AUTO
from selfj_eval.raters.base import MeasureOutcome
from selfj_eval.raters.batched import BatchedRater
from selfj_eval.records.record import Record
from selfj_eval.storage.store import Measure, MeasureStore

if TYPE_CHECKING:
    import torch

_LOGITS = 2**28  # numbers that a batch may compute at the model's head: 1 GiB in float32
_PIECE = 2**24  # of them, how many are turned into probabilities at a time
_HIGHEST = math.log(sys.float_info.max)  # of a logarithm whose perplexity is still a number


@dataclass(frozen=True, slots=True)
class _Row:
    """A prompt with its answer.

    Attributes:
        ids: Token ids of both.
        start: Position of the answer's first token that has one before it; at least 1.
    """

    ids: list[int]
    start: int

    def __len__(self) -> int:  # what the batches are formed by
        return len(self.ids)


class PerplexityRater(BatchedRater[_Row]):
    """Minus the perplexity of the answer, given the instruction, under a causal model.

    The perplexity is exp of the mean negative log-probability of the answer's tokens, each given
    the prompt and the tokens before it (Huang et al., arXiv 2307.10236, on single-inference
    uncertainty; "PPL" in Self-J's table). In [1, inf). The token that ends an answer is not one
    of them. A token that begins in the prompt and ends in the answer is.

    What does not fit into the context is cut from the answer's end. An answer without a token,
    and one whose prompt fills the context, are unscored.

    Args:
        model: ``demo``, a model folder or GGUF file, or a hub id.
        adapter: Folder or hub id of a LoRA adapter (peft) to put on the model.
        prompt: Name of the prompt form that the model was trained with, or ``auto``
            (``generation.options.PROMPT_CHOICES``).
        log: Give the logarithm of the perplexity, whose tail does not rule Pearson's r. What
            is stored serves both.
        revision, dtype, device, batch_tokens, trust_remote_code: As for
            ``engines.local.transformers.TransformersBackend``.
        store: Where mean negative log-probabilities are looked up and kept.

    Attributes:
        log: As given.
        device, dtype: What the model runs on and in.

    Raises:
        JudgeError: If the model cannot be loaded whole and safely, gives no character offsets, or
            is not causal.
    """

    def __init__(
        self,
        model: str,
        *,
        adapter: str | None = None,
        prompt: str = AUTO,
        log: bool = False,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_tokens: int | None = None,
        trust_remote_code: bool = False,
        store: MeasureStore | None = None,
    ) -> None:
        folders = model_folders(model, adapter, revision=revision, code=trust_remote_code)
        folder, adapter_folder = folders.model, folders.adapter
        self._prompts = PromptTokenizer(
            folder,
            prompt,
            adapter=adapter_folder,
            trust_remote_code=trust_remote_code,
            tokenizer=folders.tokenizer,
        )
        if not self._prompts.tokenizer.is_fast:
            raise JudgeError(
                f"the tokenizer of {model} gives no character offsets, which say where the "
                "answer begins; give a folder with a tokenizer.json."
            )
        self.log = log
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        super().__init__(
            {**folders.identity(), "dtype": self.dtype, "prompt": self._prompts.prompt}, store=store
        )
        load = partial(
            load_model, folder, adapter_folder, self.dtype, self.device, trust_remote_code
        )
        self._model = load()
        self._vocabulary = int(self._model.get_output_embeddings().weight.shape[0])
        self._check_causal(model)
        if self.device.startswith("cpu") and not self._speed_up():
            del self._model  # or both would be in memory
            self._model = load()
        tokens = batch_tokens
        if tokens is None:
            tokens = default_tokens(self._model.config, self.device, self._model.dtype.itemsize)
            tokens = max(1, min(tokens, _LOGITS // self._vocabulary))
        self._batcher = Batcher(longest_first, tokens, self.device)

    def score(self, value: float) -> float:
        """Minus the perplexity, or its logarithm, of a mean negative log-probability."""
        return -value if self.log else -math.exp(value)

    @property
    def description(self) -> dict[str, Any]:
        """What decides the scores, for the record: strict JSON."""
        return super().description | {"log": self.log}

    def outcome(self, measure: Measure) -> MeasureOutcome:
        """Unscored where the perplexity is no number."""
        if measure.value < _HIGHEST:  # not if it is NaN
            return MeasureOutcome(measure)
        return MeasureOutcome(
            None,
            f"the model gives the answer no probability above 0 in {self.dtype}; try `dtype` "
            "float32 or bfloat16.",
        )

    def row(self, record: Record) -> tuple[_Row, int]:
        """The tokens of a record, and how many did not fit.

        Raises:
            JudgeError: If no token of the answer can be rated.
        """
        prompt = self._prompts.text(record.question)
        encoded, length = self._prompts.encoded(prompt, record.response)
        # Special tokens that a tokenizer puts around the text end at character 0.
        own = [at for at, (_, end) in enumerate(encoded.offsets) if end > length]
        if not own:
            raise JudgeError(
                "the answer is empty: it has no token whose probability could be computed."
            )
        start, whole = max(1, own[0]), own[-1] + 1  # nothing comes before a text's first token
        context = self._prompts.context
        if start == whole:
            raise JudgeError("the answer's only token has none before it; use another `prompt`.")
        if start >= context:
            raise JudgeError(
                f"its prompt of {start} tokens leaves no room for an answer in the model's "
                f"context of {context}."
            )
        return _Row(encoded.ids[: min(whole, context)], start), max(0, whole - context)

    def _speed_up(self) -> bool:
        """Prepare the model for the CPU; whether it still says the same."""
        row = _Row(self._prompts.tokenizer("Sort ascending: seven, three, five.").input_ids, 1)
        tolerance = 1e-2 if self.dtype == "float32" else 0.5
        return speed_up_checked(self._model, lambda: self.forward([row]), tolerance)

    def _check_causal(self, name: str) -> None:
        """Refuse a model that sees what follows a token, or the padding."""
        ids = self._prompts.tokenizer("Sort ascending: seven, three.").input_ids
        row = _Row(ids, 1)
        alone, padded = self.forward([row]), self.forward([row, _Row(ids * 3, 1)])
        tolerance = 1e-2 if self.dtype == "float32" else 0.5
        if not np.allclose(alone[0], padded[0], atol=tolerance, rtol=0, equal_nan=True):
            raise JudgeError(
                f"{name} has no perplexity: what follows a token changes its probability, so it "
                "is not a causal (left-to-right) language model. Use a decoder such as Llama."
            )

    def forward(self, rows: Sequence[_Row]) -> Scores:
        """Mean negative log-probability of each row's answer, shape (len(rows), 1)."""
        import torch

        # Padding stands on the right, where causal attention never looks, so no mask is needed
        # and every token has the position it would have alone.
        width = max(map(len, rows))
        batch = torch.tensor([[*row.ids, *[row.ids[0]] * (width - len(row))] for row in rows])
        counts = torch.tensor([len(row) - row.start for row in rows])
        lines = torch.arange(len(rows)).repeat_interleave(counts)
        columns = torch.cat([torch.arange(row.start, len(row)) for row in rows])
        losses = self._losses(batch, lines, columns)
        sums = torch.zeros(len(rows), dtype=torch.float64).index_add_(0, lines, losses)
        found: Scores = (sums / counts)[:, None].numpy()
        return found

    def _losses(
        self, batch: torch.Tensor, lines: torch.Tensor, columns: torch.Tensor
    ) -> torch.Tensor:
        """Negative log-probabilities of some of the tokens of a batch.

        Args:
            batch: Token ids, shape (rows, width).
            lines, columns: Where the m tokens stand; no column is 0.

        Returns:
            Shape (m,), float64, on the CPU.
        """
        import torch

        def only_before(
            _: torch.nn.Module, args: tuple[torch.Tensor, ...]
        ) -> tuple[torch.Tensor, ...]:
            device = args[0].device
            return (args[0][lines.to(device), columns.to(device) - 1, None], *args[1:])

        # A hook, so that the vocabulary is computed where it is needed only, while whatever a
        # model does after its head (scaling, soft-capping) still happens.
        hook = self._model.get_output_embeddings().register_forward_pre_hook(only_before)
        try:
            with torch.inference_mode():
                logits = self._model(input_ids=batch.to(self.device), use_cache=False).logits
                if logits.shape[:2] != (len(lines), 1):
                    raise JudgeError(
                        f"{type(self._model).__name__} computes its vocabulary in an unusual way; "
                        "this architecture cannot be used."
                    )
                wanted = batch[lines, columns].to(logits.device)
                size = max(1, _PIECE // self._vocabulary)
                losses = [
                    torch.nn.functional.cross_entropy(
                        logits[at : at + size, 0].float(), wanted[at : at + size], reduction="none"
                    )
                    for at in range(0, len(lines), size)
                ]
        finally:
            hook.remove()
        return torch.cat(losses).cpu().double()
