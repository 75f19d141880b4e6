"""The model a training starts from, with what is to be trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.engines.models.loading import (
    choose_device,
    choose_dtype,
    load_weights,
    quiet_peft,
)
from selfj_eval.errors import DataError, JudgeError
from selfj_eval.training.settings import TrainingConfig

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def training_dtype(config: TrainingConfig) -> str:
    """Number format of the arithmetic."""
    device = choose_device("auto")
    dtype = choose_dtype(config.dtype, device)
    # float16 needs to be asked for: its gradients overflow.
    return "float32" if dtype == "float16" and config.dtype == "auto" else dtype


def load_base(
    config: TrainingConfig,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    *,
    encoder: bool = False,
    freeze_layers: int = 0,
) -> PreTrainedModel:
    """The base with what is to be trained: a new adapter, a new head, or its own weights.

    Args:
        config: The settings.
        folder: The base.
        tokenizer: Its tokenizer.
        encoder: Whether it is an encoder, which gets a head with the ten digits.
        freeze_layers: Train neither embeddings nor so many first layers; an adapter skips them.

    Raises:
        DataError: If the settings name layers that it does not have.
        JudgeError: If it cannot be loaded, or bitsandbytes is missing.
    """
    more: dict[str, Any] = {}
    if encoder:
        digits = list("0123456789")
        more = {"num_labels": 10, "id2label": dict(enumerate(digits)),
                "label2id": {digit: at for at, digit in enumerate(digits)}}  # fmt: skip
    if config.quantization != "none":
        more["quantization_config"] = _quantization(config)
    dtype = training_dtype(config)
    model = load_weights(
        folder,
        # What is trained itself stays in float32; autocast computes in less.
        dtype=dtype if config.lora_r else "float32",
        trust_remote_code=config.trust_remote_code,
        encoder=encoder,
        new_head=encoder,
        **more,
    )
    if encoder and model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    if config.lora_r:
        return with_new_adapter(model, config, above=freeze_layers)
    if freeze_layers:
        _freeze(model, freeze_layers)
    return model


def _quantization(config: TrainingConfig) -> Any:
    from importlib.util import find_spec

    import torch
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise JudgeError(
            f"quantization {config.quantization} needs bitsandbytes; pip install bitsandbytes."
        )
    if config.quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, training_dtype(config)),
    )


@quiet_peft()
def with_new_adapter(
    model: PreTrainedModel, config: TrainingConfig, *, above: int = 0
) -> PreTrainedModel:
    """A model with a new LoRA adapter, which alone is trained.

    Args:
        model: The base.
        config: The settings.
        above: Give the first so many layers no adapter.

    Raises:
        DataError: If the settings name layers that the model does not have.
    """
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if config.quantization != "none":
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=config.gradient_checkpointing
        )
    elif config.gradient_checkpointing:
        model.enable_input_require_grads()
    adapted_layers = list(range(above, len(_layers(model, above, 1)))) if above else None
    settings = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.lora_modules),
        layers_to_transform=adapted_layers,
        task_type="CAUSAL_LM",
    )
    try:
        adapted: PreTrainedModel = get_peft_model(model, settings)
    except ValueError as error:
        raise DataError(
            f"the base has no layers named {', '.join(config.lora_modules)}; name those of its "
            "attention.",
            field="lora_modules",
        ) from error
    return adapted


def _freeze(model: PreTrainedModel, layers: int) -> None:
    """No gradients for the embeddings and the first layers."""
    stack = _layers(model, layers, 0)
    for part in (getattr(model.base_model, "embeddings", model.get_input_embeddings()),
                 *stack[:layers]):  # fmt: skip
        part.requires_grad_(False)


def _layers(model: PreTrainedModel, frozen: int, trained: int) -> torch.nn.ModuleList:
    """All layers; so many are to be frozen, and at least so many of the others trained."""
    import torch

    inner = getattr(model.base_model, "encoder", model.base_model)
    stack = getattr(inner, "layer", getattr(inner, "layers", None))
    known = len(stack) if isinstance(stack, torch.nn.ModuleList) else "unknown"
    if not isinstance(stack, torch.nn.ModuleList) or frozen + trained > len(stack):
        left = ", and an adapter needs one that is not frozen" if trained else ""
        raise DataError(f"the base has {known} layers{left}; got {frozen}.", field="freeze_layers")
    return stack
