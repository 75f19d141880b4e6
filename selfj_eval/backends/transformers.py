"""Judging with Hugging Face transformers: one forward pass a batch, no generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selfj_eval.backends.base import Batch
from selfj_eval.backends.weights import check_weights, fingerprint, resolve_folder
from selfj_eval.errors import JudgeError
from selfj_eval.prompts import DEFAULT_TEMPLATE, Offsets, get_template
from selfj_eval.scale import digit_token_ids

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_MAX_TOKENS = 4096
"""Prompts are held to the judge's own context length, but to no more than this: Self-J's
released judge has a context of 4096 tokens."""

CPU_BATCH_TOKENS = 2048
GPU_BATCH_TOKENS = 16384
"""Padded tokens a batch. Small on a CPU, where a padding token costs as much as a real one."""


class JudgeTokenizer:
    """A judge's tokenizer, checked, with the ids of the ten digits.

    Args:
        model: ``demo``, a folder, or a hub id.
        template: Name of the prompt template the digits will follow.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Whether to run Python code that comes with the model.

    Attributes:
        digit_ids: Ids of "0".."9" as they follow the template.
        max_tokens: Context length of the model, at most ``DEFAULT_MAX_TOKENS``.

    Raises:
        JudgeError: If the tokenizer cannot be loaded, gives no character offsets, or has a
            digit that is not one token.
    """

    def __init__(
        self,
        model: str,
        *,
        template: str = DEFAULT_TEMPLATE,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        from transformers import AutoConfig, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        folder = resolve_folder(model, revision=revision, code=trust_remote_code)
        # "sequence length is longer than ...": prompts are trimmed after they are measured.
        transformers_logging.get_logger("transformers.tokenization_utils_base").setLevel(40)
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
            self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=trust_remote_code
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise JudgeError(f"the tokenizer of {model} cannot be loaded: {error}") from error
        if not self.tokenizer.is_fast:
            raise JudgeError(
                f"the tokenizer of {model} gives no character offsets, which trimming needs; "
                "give a folder with a tokenizer.json."
            )
        self.digit_ids = digit_token_ids(self.encode, get_template(template).probe(), model)
        text_config = config.get_text_config()
        lengths = ("n_positions", "max_position_embeddings", "n_ctx")  # lm-eval's order
        found = (getattr(text_config, name, None) for name in lengths)
        context = next((n for n in found if n), self.tokenizer.model_max_length)
        self.max_tokens = min(int(context), DEFAULT_MAX_TOKENS)

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text`` with the special tokens the model expects."""
        ids: list[int] = self.tokenizer(text).input_ids
        return ids

    def offsets(self, text: str) -> Offsets:
        """Character offsets of the tokens of ``text``, special tokens included."""
        found: Offsets = self.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        return found


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
        folder = resolve_folder(model, revision=revision, code=trust_remote_code)
        check_weights(folder)
        adapter_folder = None if adapter is None else resolve_folder(adapter)
        if adapter_folder is not None:
            check_weights(adapter_folder, adapter=True)
        self._tokenizer = JudgeTokenizer(
            str(folder), template=template, trust_remote_code=trust_remote_code
        )
        self.device = _choose_device(device)
        self.dtype = _choose_dtype(dtype, self.device)
        self._model = _load_model(
            folder, adapter_folder, self.dtype, self.device, trust_remote_code
        )
        on_cpu = self.device == "cpu"
        self._batch_tokens = batch_tokens or (CPU_BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS)
        self.identity: Mapping[str, str] = {
            "model": fingerprint(folder),
            "adapter": "" if adapter_folder is None else fingerprint(adapter_folder),
            "dtype": self.dtype,
        }

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
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]), reverse=True)
        start = 0
        while start < len(order):
            rows = max(1, self._batch_tokens // len(ids[order[start]]))
            indices = order[start : start + rows]
            yield Batch(indices, self._forward([ids[i] for i in indices]))
            start += rows

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
                log_probabilities = logits[:, -1].float().log_softmax(-1)
                digits = log_probabilities[:, self._tokenizer.digit_ids]
        finally:
            hook.remove()
        result: np.ndarray[Any, np.dtype[np.float64]] = digits.double().cpu().numpy()
        return result


def _choose_device(device: str) -> str:
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise JudgeError(f"device {device!r} asked for, but torch sees no CUDA device.")
    try:
        return str(torch.device(device))
    except RuntimeError as error:
        raise JudgeError(f"unknown device {device!r}; use auto, cpu, cuda, cuda:1, mps.") from error


def _choose_dtype(dtype: str, device: str) -> str:
    import torch

    known = ("float32", "bfloat16", "float16")
    if dtype == "auto":
        if device == "cpu":
            return "float32"
        bfloat16 = device.startswith("cuda") and torch.cuda.is_bf16_supported()
        return "bfloat16" if bfloat16 else "float16"
    if dtype not in known:
        raise JudgeError(f"unknown dtype {dtype!r}; use auto, {', '.join(known)}.")
    return dtype


def _load_model(
    folder: Path, adapter: Path | None, dtype: str, device: str, trust_remote_code: bool
) -> PreTrainedModel:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    progress_was_on = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            device_map={"": device},
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except SafetensorError as error:
        raise JudgeError(
            f"the weights in {folder} are damaged ({error}). Is the download or the Git LFS "
            "checkout complete? Fetch it again."
        ) from error
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise JudgeError(f"the judge {folder} cannot be loaded: {error}") from error
    finally:
        if progress_was_on:
            transformers_logging.enable_progress_bar()
    # transformers fills missing weights with random numbers and only warns.
    broken = sorted({*loading["missing_keys"], *(str(k[0]) for k in loading["mismatched_keys"])})
    if broken:
        raise JudgeError(
            f"the weights in {folder} do not fit its config.json: {len(broken)} tensors are "
            f"missing or have another shape, the first is {broken[0]}."
        )
    if adapter is not None:
        from peft import PeftModel

        try:
            wrapped = PeftModel.from_pretrained(model, str(adapter))
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise JudgeError(f"the adapter {adapter} cannot be put on {folder}: {error}") from error
        model = wrapped.merge_and_unload(safe_merge=True)
    model.eval()
    return model
