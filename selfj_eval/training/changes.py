"""Whether a training has changed what it trains, and to numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from selfj_eval.errors import JudgeError

if TYPE_CHECKING:
    import torch

Sums = Mapping[str, tuple[float, float]]
"""Sum and sum of squares of each tensor: no training leaves both as they were to the last bit."""


def sums_of(model: torch.nn.Module) -> Sums:
    """Sums of the weights that are to be trained."""
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad and p.numel()]
    return {name: _sums(parameter.detach()) for name, parameter in trained}


def check_trained(folder: Path, before: Sums, *, steps: int, advice: str) -> None:
    """Refuse a trained model that is what it was before, or no numbers any more.

    The saved files are looked at, which are whole however the training was spread.

    Args:
        folder: The model or adapter as it was saved.
        before: ``sums_of`` the model before the training.
        steps: How many steps it took.
        advice: What to do.

    Raises:
        JudgeError: If no weight has changed, or one is not finite.
    """
    known, changed = 0, False
    for name, tensor in _tensors(folder):
        after = _sums(tensor)
        if not math.isfinite(after[1]):
            raise JudgeError(
                f"{steps:,} steps of training ended in weights that are not finite numbers (the "
                f"first: {name}). Lower learning_rate, or take dtype float32 or bfloat16. {advice}"
            )
        # 0 when new, so that the adapter does nothing: B, but A in an adapter of embeddings.
        if ".lora_B." in name or ".lora_embedding_A" in name:
            known, changed = known + 1, changed or after[1] > 0
        elif name in before:
            known, changed = known + 1, changed or after != before[name]
    if known and not changed:
        raise JudgeError(
            f"{steps:,} steps of training changed no weight: the learning rate was 0 in all of "
            "them, or no gradient reached what is trained. Train longer, with a shorter warm-up "
            f"(warmup_steps) or a higher learning_rate. {advice}"
        )


def _tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in sorted(tensors.keys()):
                yield name, tensors.get_tensor(name)


def _sums(tensor: torch.Tensor) -> tuple[float, float]:
    import torch

    values = tensor.to("cpu", torch.float64).contiguous()  # one order, one sum
    return values.sum().item(), values.square().sum().item()
