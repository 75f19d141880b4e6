"""Loading a checked model folder into transformers, whole or not at all."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.engines.models.adapters import (
    named_base,
    refuse_strangers,
    resized_to,
    tensor_shapes,
)
from selfj_eval.errors import JudgeError, brief, loading

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PACKED = 16
"""Weights that a number in a file may stand for: eight of 4 bits in quantised ones, or more."""
_MADE_UP = 1 << 26
"""Numbers that a model may have beside its files' (positions, masks, a new head)."""


def choose_device(device: str) -> str:
    """The device's name; for ``auto`` an accelerator where there is one.

    Raises:
        JudgeError: If there is no such device.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise JudgeError(f"device {device!r} asked for, but torch sees no CUDA device.")
    try:
        found = torch.device(device)
    except RuntimeError:
        found = torch.device("meta")
    if found.type not in ("cpu", "cuda", "mps", "xpu"):
        raise JudgeError(f"unknown device {device!r}; use auto, cpu, cuda, cuda:1, mps.")
    return str(found)


def choose_dtype(dtype: str, device: str) -> str:
    """The number format's name; for ``auto`` what suits the device.

    Raises:
        JudgeError: If it is not one that judging supports.
    """
    import torch

    known = ("float32", "bfloat16", "float16")
    if dtype == "auto":
        if device.startswith("cpu"):
            return "float32"
        bfloat16 = device.startswith("cuda") and torch.cuda.is_bf16_supported()
        return "bfloat16" if bfloat16 else "float16"
    if dtype not in known:
        raise JudgeError(f"unknown dtype {dtype!r}; use auto, {', '.join(known)}.")
    return dtype


def load_model(
    folder: Path, adapter: Path | None, dtype: str, device: str, trust_remote_code: bool
) -> PreTrainedModel:
    """A causal model in evaluation mode on its device, with the adapter merged into it.

    Raises:
        JudgeError: If anything is damaged, missing or does not fit.
    """
    model = load_weights(
        folder, dtype=dtype, trust_remote_code=trust_remote_code, device_map={"": device}
    )
    if adapter is not None:
        model = _with_adapter(model, folder, adapter)
    model.eval()
    return model


def load_weights(
    folder: Path,
    *,
    dtype: str,
    trust_remote_code: bool,
    encoder: bool = False,
    new_head: bool = False,
    **more: Any,
) -> PreTrainedModel:
    """A model as its folder says, whole or not at all.

    Args:
        folder: A checked folder (``weights.check_weights``).
        dtype: Number format.
        trust_remote_code: Whether to run Python code that comes with the model.
        encoder: Load a sequence classifier in place of a causal model.
        new_head: Its head may be missing, and is random then.
        **more: As for ``from_pretrained``.

    Raises:
        JudgeError: If anything is damaged, missing or does not fit.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
    from transformers.utils import logging as transformers_logging

    auto = AutoModelForSequenceClassification if encoder else AutoModelForCausalLM
    progress_was_on = transformers_logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    if new_head:
        transformers_logging.set_verbosity_error()  # says at length that the head is new
    advice = "Is the folder complete, and of a kind that this transformers knows?"
    try:
        with loading(f"the model {folder}", advice):
            _refuse_larger(auto, folder, trust_remote_code)
            model, info = auto.from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                # They are refused below, by name; the library's own error only points to its log.
                ignore_mismatched_sizes=True,
                **more,
            )
    except JudgeError as error:
        if not isinstance(error.__cause__, SafetensorError):
            raise
        raise JudgeError(
            f"the weights in {folder} are damaged ({error.__cause__}). Is the download or the Git "
            "LFS checkout complete? Fetch it again."
        ) from error.__cause__
    finally:
        transformers_logging.set_verbosity(verbosity)
        if progress_was_on:
            transformers_logging.enable_progress_bar()
    # transformers fills missing weights with random numbers and only warns.
    missing = set(info["missing_keys"])
    if new_head:
        # Whatever the base model itself does not have belongs to the head.
        missing = {key for key in missing if key.startswith(f"{model.base_model_prefix}.")}
        missing -= {key for key in missing if ".pooler." in key}
    shapes = {str(k[0]): f" ({_sizes(k[1])}, not {_sizes(k[2])})" for k in info["mismatched_keys"]}
    broken = sorted({*missing, *shapes})
    if broken:
        raise JudgeError(
            f"the weights in {folder} do not fit its config.json: {len(broken)} tensors are "
            f"missing or have another shape, the first is {broken[0]}{shapes.get(broken[0], '')}. "
            "Fetch or save both together."
        )
    return model


def _refuse_larger(auto: Any, folder: Path, trust_remote_code: bool) -> None:
    """Refuse a configuration of a far larger model than the weights are of.

    Weights that are missing are made up, before it is known that they are missing: a folder of a
    few kilobytes could ask for all memory. Here the model is made without memory for numbers.

    Raises:
        JudgeError: If the model has so many more numbers than its files.
    """
    import torch
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        model = auto.from_config(config, trust_remote_code=trust_remote_code)
    wanted = sum(part.numel() for part in (*model.parameters(), *model.buffers()))
    there = sum(map(math.prod, tensor_shapes(folder.glob("*.safetensors")).values()))
    if wanted > _PACKED * there + _MADE_UP:
        raise JudgeError(
            f"{folder}/config.json is of a model with {wanted:,} weights, but the files beside it "
            f"hold {there:,}. Fetch or save both together."
        )


def _sizes(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Drop two messages of peft and what it imports that a user can do nothing about.

    On CPUs with bfloat16, bitsandbytes says that a package with a faster kernel for weights of 4
    bits is missing, also where no weights have 4 bits. With transformers from 5.23 on, peft asks a
    model for a property by its former name. Other messages pass.
    """
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")

    def other(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Failed to load CPU gemm_4bit_forward")

    logger.addFilter(other)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is", FutureWarning)
            yield
    finally:
        logger.removeFilter(other)


@quiet_peft()
def _with_adapter(model: PreTrainedModel, folder: Path, adapter: Path) -> PreTrainedModel:
    """The model with a LoRA adapter merged into it."""
    from peft import PeftModel, get_peft_model_state_dict

    given = set(tensor_shapes([adapter / "adapter_model.safetensors"]))
    rows = resized_to(adapter, folder)
    try:
        if rows is not None:  # the adapter brings them all: what the new ones are does not matter
            model.resize_token_embeddings(rows, mean_resizing=False)
        wrapped = PeftModel.from_pretrained(model, str(adapter))
        # peft would look into the folder, or at the hub, that the adapter calls its base.
        wrapped.active_peft_config.base_model_name_or_path = None
        saved = "auto" if rows is None else True
        wanted = set(get_peft_model_state_dict(wrapped, save_embedding_layers=saved))
    except Exception as error:  # whatever a damaged adapter makes the library raise
        raise JudgeError(
            f"the adapter {adapter} cannot be put on {folder}: {brief(error).rstrip('.')}."
            f"{named_base(adapter)}"
        ) from error
    # peft only warns, and judges with what does fit, or with the base model alone. Weights of the
    # base that were saved with the adapter stand under their own names.
    own = set(wrapped.state_dict())
    inner = (".modules_to_save.", ".modules_to_save.default.")
    refuse_strangers(
        adapter,
        folder,
        [n for n in wanted ^ given if n not in own and n.replace(*inner) not in own],
    )
    _untie(wrapped)
    return wrapped.merge_and_unload(safe_merge=True)


def _untie(model: Any) -> None:
    """Part embeddings and head that share a weight, where an adapter changes one of them.

    Otherwise what is merged into the one would be merged into the other too.
    """
    import torch

    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    if any(hasattr(layer, "base_layer") for layer in layers):
        inner, head = (getattr(layer, "base_layer", layer) for layer in layers)
        if head is not None and head.weight is inner.weight:
            head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
