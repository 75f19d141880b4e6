"""Judging with Hugging Face transformers: one forward pass a batch, no generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from selfj_eval.backends.base import Batch, longest_first
from selfj_eval.backends.loading import choose_device, choose_dtype, load_model
from selfj_eval.backends.tokenizer import JudgeTokenizer
from selfj_eval.backends.weights import model_folders
from selfj_eval.errors import JudgeError
from selfj_eval.prompts import DEFAULT_TEMPLATE, Offsets

if TYPE_CHECKING:
    import torch

CPU_BATCH_TOKENS = 2048
GPU_BATCH_TOKENS = 16384
"""Padded tokens a batch. Small on a CPU, where a padding token costs as much as a real one."""


class TransformersBackend:
    """A judge in transformers.

    Args:
        model: ``demo``, a model folder, or a hub id.
        adapter: Folder or hub id of a LoRA adapter (peft) to put on the model.
        template: Name of the prompt template, to check that digits are single tokens there.
        revision: Branch, tag or commit of the model on the hub.
        dtype: ``auto`` (float32 on a CPU, bfloat16 or float16 on an accelerator), ``float32``,
            ``bfloat16`` or ``float16``.
        device: ``auto`` (an accelerator where there is one), ``cpu``, ``cuda``, ``cuda:1``, ...
        batch_tokens: Padded tokens a batch; by default chosen by the device.
        trust_remote_code: Whether to run Python code that comes with the model.

    Raises:
        JudgeError: If the judge cannot be loaded whole and safely.
    """

    def __init__(
        self,
        model: str,
        *,
        adapter: str | None = None,
        template: str = DEFAULT_TEMPLATE,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_tokens: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        folders = model_folders(model, adapter, revision=revision, code=trust_remote_code)
        folder, adapter_folder = folders
        self._tokenizer = JudgeTokenizer(
            str(folder), template=template, trust_remote_code=trust_remote_code
        )
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        self._model = load_model(folder, adapter_folder, self.dtype, self.device, trust_remote_code)
        on_cpu = self.device.startswith("cpu")
        self._batch_tokens = batch_tokens or (CPU_BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS)
        self.identity: Mapping[str, str] = {
            **folders.identity(),
            "dtype": self.dtype,
        }
        self._check_causal(str(folder))

    @property
    def max_tokens(self) -> int:
        """Longest prompt the judge takes by default."""
        return self._tokenizer.max_tokens

    def tokenize(self, text: str) -> Offsets:
        """Character offsets of the tokens of ``text``, special tokens included."""
        return self._tokenizer.offsets(text)

    def score(self, prompts: Sequence[str]) -> Iterator[Batch]:
        """Judge all prompts, longest first, one forward pass a batch.

        Args:
            prompts: Finished prompts, no longer than the model's context.

        Yields:
            Batches with float64 log-probabilities of shape (m, 10).
        """
        if not prompts:
            return
        ids = self._tokenizer.tokenizer(list(prompts)).input_ids
        for indices in longest_first(ids, self._batch_tokens):
            yield Batch(indices, self._forward([ids[i] for i in indices]))

    def _check_causal(self, name: str) -> None:
        """Refuse a model that sees the padding or anything else behind the prompt."""
        ids = self._tokenizer.encode("Rate: 5, 7.")
        alone, padded = self._forward([ids]), self._forward([ids, ids * 3])
        tolerance = 1e-2 if self.dtype == "float32" else 0.5
        if not np.allclose(alone[0], padded[0], atol=tolerance, rtol=0, equal_nan=True):
            raise JudgeError(
                f"{name} cannot judge: what follows a prompt changes its answer, so it is not a "
                "causal (left-to-right) language model. Use a decoder such as Llama."
            )

    def _forward(self, rows: list[list[int]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Log-probabilities of the digits after each row of token ids; shape (len(rows), 10)."""
        import torch

        last = torch.tensor([len(row) - 1 for row in rows], device=self.device)
        # Padding stands on the right, where causal attention never looks, so no mask is needed
        # and every token has the position it would have alone.
        width = max(map(len, rows))
        batch = torch.tensor([row + row[:1] * (width - len(row)) for row in rows])

        def only_last_positions(
            _: torch.nn.Module, args: tuple[torch.Tensor, ...]
        ) -> tuple[torch.Tensor, ...]:
            hidden = args[0]
            at = last.to(hidden.device)
            return (hidden[torch.arange(len(rows), device=hidden.device), at, None], *args[1:])

        head = self._model.get_output_embeddings()
        # A hook, so that the vocabulary is computed at one position a row while whatever a model
        # does after its head (scaling, soft-capping) still happens.
        hook = head.register_forward_pre_hook(only_last_positions)
        try:
            with torch.inference_mode():
                logits = self._model(input_ids=batch.to(self.device), use_cache=False).logits
                if logits.shape[1] != 1:
                    raise JudgeError(
                        f"{type(self._model).__name__} computes its vocabulary in an unusual way; "
                        "this architecture cannot be used."
                    )
                log_probabilities = logits[:, -1].float().log_softmax(-1)
                digits = log_probabilities[:, self._tokenizer.digit_ids]
        except torch.OutOfMemoryError as error:
            raise JudgeError(
                f"out of memory with {len(rows)} prompts of up to {width} tokens on {self.device}; "
                "lower --batch-tokens, or use a smaller --dtype. What was finished is kept."
            ) from error
        finally:
            hook.remove()
        result: np.ndarray[Any, np.dtype[np.float64]] = digits.double().cpu().numpy()
        return result
