"""Preparing a model on a CPU: matrix products by oneDNN, with weights in the order it wants."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from selfj_eval.errors import brief

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_LOG = logging.getLogger(__name__)


def speed_up(model: PreTrainedModel) -> int:
    """Let a model on a CPU use weights that are reordered once, and layers that are faster there.

    torch's own product of float32 matrices is about half as fast on processors that are not
    Intel's (benchmarks/README.md), and reorders nothing. Whole layers are replaced where their kind
    is known (``cpu_layers``), linear ones elsewhere. The head stays as it is: it is computed at few
    positions, and may be the embedding's. Afterwards the model cannot be trained, or generate.

    Args:
        model: In evaluation mode, on a CPU.

    Returns:
        The number of layers that were replaced; 0 where oneDNN has no product for its numbers.
    """
    import torch

    from selfj_eval.engines.local.cpu_layers import CpuLayer, fits

    if not hasattr(getattr(torch.ops, "mkldnn", None), "_linear_pointwise"):
        return 0
    bfloat16 = model.dtype is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if model.dtype is not torch.float32 and not bfloat16:
        return 0
    head = model.get_output_embeddings()
    # Names, so that each layer's weights are freed before the next one's are reordered. Without a
    # head it is an embedder, whose padding may stand before the text.
    known = [name for name, module in model.named_modules() if head is not None and fits(module)]
    for name in known:
        model.set_submodule(name, CpuLayer(model.get_submodule(name)))
    kind: Any = _kind()
    others = [
        name
        for name, module in model.named_modules()
        if type(module) is torch.nn.Linear and module is not head
    ]
    for name in others:
        model.set_submodule(name, kind(model.get_submodule(name)))
    return len(known) + len(others)


def speed_up_checked(
    model: PreTrainedModel, say: Callable[[], np.ndarray[Any, Any]], tolerance: float
) -> bool:
    """Speed a model up, and see whether it still says the same.

    Args:
        model: As for ``speed_up``.
        say: Something that the model computes.
        tolerance: Largest difference that is rounding.

    Returns:
        Whether it does; if not, the model has to be loaded again.
    """
    plain = say()
    try:
        speed_up(model)
        again = say()
    except Exception as error:  # whatever an architecture that looks into its layers makes of it
        _LOG.info("%s is not sped up: %s", type(model).__name__, brief(error))
        return False
    same = np.allclose(plain, again, atol=tolerance, rtol=0, equal_nan=True)
    if not same:
        _LOG.info("%s is not sped up: it would say something else", type(model).__name__)
    return same


def _kind() -> type[torch.nn.Module]:
    import torch

    from selfj_eval.engines.local.cpu_layers import Product

    class ReorderedLinear(torch.nn.Module):
        """In place of a linear layer."""

        def __init__(self, linear: torch.nn.Linear) -> None:
            super().__init__()
            self.in_features, self.out_features = linear.in_features, linear.out_features
            self.bias = linear.bias
            # For architectures that ask for its type; nothing is computed with it.
            self.weight = torch.empty_like(linear.weight, device="meta")
            self._product = Product(linear)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self._product(x)

    return ReorderedLinear
