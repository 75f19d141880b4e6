"""Matrix products on a CPU through oneDNN, with weights in the order it wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def reorder_weights(model: PreTrainedModel) -> int:
    """Let the linear layers of a model on a CPU use weights that are reordered once.

    torch's own product of float32 matrices is about half as fast on processors that are not
    Intel's (benchmarks/README.md), and reorders nothing. The head stays as it is: it is computed
    at few positions, and may be the embedding's. Nothing can be trained afterwards.

    Args:
        model: In evaluation mode, on a CPU, in float32.

    Returns:
        The number of layers; 0 where torch was built without oneDNN.
    """
    import torch

    if not hasattr(getattr(torch.ops, "mkldnn", None), "_linear_pointwise"):
        return 0
    head = model.get_output_embeddings()
    found = [
        (name, module)
        for name, module in model.named_modules()
        if type(module) is torch.nn.Linear and module is not head
    ]
    kind = _kind()
    for name, module in found:
        model.set_submodule(name, kind(module))
    return len(found)


def reorder_checked(
    model: PreTrainedModel, say: Callable[[], np.ndarray[Any, Any]], tolerance: float
) -> bool:
    """Reorder the weights of a model, and see whether it still says the same.

    Args:
        model: As for ``reorder_weights``.
        say: Something that the model computes.
        tolerance: Largest difference that is rounding.

    Returns:
        Whether it does; if not, the model has to be loaded again.
    """
    plain = say()
    try:
        reorder_weights(model)
        again = say()
    except Exception:  # whatever an architecture that looks into its layers makes of it
        return False
    return np.allclose(plain, again, atol=tolerance, rtol=0, equal_nan=True)


def _kind() -> type[torch.nn.Module]:
    import torch

    class ReorderedLinear(torch.nn.Module):
        """In place of a linear layer."""

        def __init__(self, linear: torch.nn.Linear) -> None:
            super().__init__()
            self.in_features, self.out_features = linear.in_features, linear.out_features
            self.bias = linear.bias
            # For architectures that ask for its type; nothing is computed with it.
            self.weight = torch.empty_like(linear.weight, device="meta")
            self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
                x, self._weight, self.bias, "none", [], ""
            )
            return found

    return ReorderedLinear
