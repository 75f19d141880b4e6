"""Layers of Llama's kind on a CPU, with few passes over memory between their matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from selfj_eval.engines.local.cpu_attention import attend_along
from selfj_eval.engines.local.prefix_tree import Nodes, attend

_KINDS = ("Llama", "Mistral", "Qwen2")
"""By name, so that the modules of those that are not used are not imported."""
_PARTS = ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm")
_ROWS = 1024
"""Tokens at a time between two attentions: what small models need then stays in the cache."""
_STEP = 32
"""The number of tokens is rounded up to a multiple of it, since oneDNN compiles a product for each
new number of tokens. On processors with AMX this takes 1 to 100 ms."""


class Product:
    """What linear layers with the same input compute, side by side, by oneDNN.

    Args:
        *linears: The layers, in float32 or bfloat16. All have a bias, or none has.

    Attributes:
        size: How many numbers it gives per token.
    """

    def __init__(self, *linears: nn.Linear) -> None:
        weights = [linear.weight.detach() for linear in linears]
        weight = weights[0] if len(weights) == 1 else torch.cat(weights)
        self.size = len(weight)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
        self._bias = torch.cat(biases) if biases else None

    def __call__(self, x: torch.Tensor, then: str = "none") -> torch.Tensor:
        """The product, and a function of each number ("swish") in the same pass."""
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, then, [], ""
        )
        return found

    def combined(self, x: torch.Tensor, how: str, other: torch.Tensor) -> torch.Tensor:
        """The product, and "add" or "mul" with another matrix in the same pass."""
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            x, other, self._weight, self._bias, how
        )
        return found


class CpuLayer(nn.Module):
    """In place of a decoder layer that ``fits``; gives the same but for rounding.

    Nothing is kept of the prompt, so it cannot generate, and it cannot be trained.

    Args:
        layer: The layer of transformers.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        config = attention.config
        self._heads, self._key_heads = config.num_attention_heads, config.num_key_value_heads
        self._size, self._scaling = attention.head_dim, attention.scaling
        self._is_last = attention.layer_idx == config.num_hidden_layers - 1
        self._norms = [
            (norm.weight.detach().float(), norm.variance_epsilon)
            for norm in (layer.input_layernorm, layer.post_attention_layernorm)
        ]
        # Biases can move all products of a query and its keys far from 0, where bfloat16 is coarse.
        self._wide = attention.q_proj.weight.dtype is torch.bfloat16 and (
            attention.q_proj.bias is not None or attention.k_proj.bias is not None
        )
        linears = attention.q_proj, attention.k_proj, attention.v_proj
        # Of a packed row, the last layer needs all keys but few queries.
        self._apart = self._is_last and not self._wide
        parts = [linears[:1], linears[1:]] if self._apart else [linears]
        self._qkv = [Product(*part) for part in parts]
        self._out, self._down = Product(attention.o_proj), Product(mlp.down_proj)
        self._gate, self._up = Product(mlp.gate_proj), Product(mlp.up_proj)

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        selfj_nodes: Nodes | None = None,
        **_: Any,
    ) -> torch.Tensor:
        """As that of transformers, with causal attention, or by the nodes of a packed row.

        Without a mask: padding stands on the right. Without a cache.

        Args:
            hidden_states: Shape (rows, tokens, width).
            position_embeddings: Cosines and sines, each of shape (rows or 1, tokens, head width).
            selfj_nodes: Of a packed row; the last layer then computes only what is read of it.

        Returns:
            Shape (rows, tokens, width); of a packed row's last layer, the last tokens of the
            prompts, in their order: (1, prompts, width).
        """
        rows, tokens, width = hidden_states.shape
        before = hidden_states.reshape(-1, width)
        positions = [p.expand(rows, -1, -1).reshape(-1, 1, self._size) for p in position_embeddings]
        last = selfj_nodes.last if selfj_nodes is not None and self._is_last else None
        if self._apart:
            queries, others = self._qkv
            keys_values = self._projected(others, before, positions, self._key_heads)
            if last is not None:
                before, positions = before[last], [p[last] for p in positions]
            query = self._projected(queries, before, positions, self._heads)
        else:
            heads = self._heads + self._key_heads
            found = self._projected(self._qkv[0], before, positions, heads)
            query, keys_values = found[:, : self._heads], found[:, self._heads :]
        if selfj_nodes is not None and not self._wide:
            selfj_nodes.used += 1
            attended = attend_along(
                query, keys_values, selfj_nodes, self._scaling, last is not None
            )
        else:
            query, key, value = (
                part.view(rows, tokens, -1, self._size).transpose(1, 2)
                for part in (query, *torch.chunk(keys_values, 2, 1))
            )
            if selfj_nodes is None:
                attended = attend(query, key, value, None, self._scaling)
            else:
                attended = selfj_nodes.attend(query, key, value, self._scaling)[0]
                if last is not None:
                    attended, before = attended[last], before[last]
        return self._finished(attended.view(len(before), -1), before).view(rows, -1, width)

    def _projected(
        self,
        product: Product,
        before: torch.Tensor,
        positions: Sequence[torch.Tensor],
        turned: int,
    ) -> torch.Tensor:
        """What a product gives, by heads; the first ones are turned by their positions.

        Args:
            product: Of the linear layers before the attention.
            before: Shape (tokens, width).
            positions: Cosines and sines, each of shape (tokens, 1, head width).
            turned: How many heads are turned.

        Returns:
            Shape (tokens, heads, head width).
        """
        cosines, sines = positions
        half = self._size // 2
        found = before.new_empty(len(before), product.size // self._size, self._size)
        for at in range(0, len(before), _ROWS):
            part = slice(at, at + _ROWS)
            rotated = found[part, :turned]
            normed = _normed(_filled(before[part]), *self._norms[0])
            joined = product(normed).view(len(normed), -1, self._size)[: len(rotated)]
            plain = joined[:, :turned]
            sine = sines[part, :, :half]
            torch.mul(plain, cosines[part], out=rotated)
            rotated[..., :half].addcmul_(plain[..., half:], sine, value=-1)
            rotated[..., half:].addcmul_(plain[..., :half], sine)
            found[part, turned:] = joined[:, turned:]
        return found

    def _finished(self, attended: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """What follows the attention; shape (tokens, width)."""
        found = torch.empty_like(before)
        for at in range(0, len(before), _ROWS):
            part = slice(at, at + _ROWS)
            added = self._out.combined(_filled(attended[part]), "add", _filled(before[part]))
            normed = _normed(added, *self._norms[1])
            inner = self._up.combined(normed, "mul", self._gate(normed, "swish"))
            own = found[part]
            own.copy_(self._down.combined(inner, "add", added)[: len(own)])
        return found


def _filled(x: torch.Tensor) -> torch.Tensor:
    """With rows of zeros up to a multiple of ``_STEP``."""
    missing = -len(x) % _STEP
    return nn.functional.pad(x, (0, 0, 0, missing)) if missing else x


def _normed(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Divided by the root of the mean square of each row, in fewer passes than torch's own.

    Args:
        x: Shape (tokens, width).
        weight: In float32.
        epsilon: Added to the mean square.
    """
    wide = x.float()
    factor = torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    factor.square_().div_(x.shape[1]).add_(epsilon).rsqrt_()
    scaled = torch.mul(wide, factor, out=None if wide is x else wide)
    return scaled.mul_(weight).to(x.dtype)


def fits(layer: nn.Module) -> bool:
    """Whether ``CpuLayer`` computes what a module computes: none of its parts was replaced."""
    kind = type(layer)
    family = kind.__name__.removesuffix("DecoderLayer")
    if family not in _KINDS or kind.__module__ != (
        f"transformers.models.{family.lower()}.modeling_{family.lower()}"
    ):
        return False
    names = (f"{family}Attention", f"{family}MLP", f"{family}RMSNorm", f"{family}RMSNorm")
    parts = [type(getattr(layer, part)) for part in _PARTS]
    own = [(part.__name__, part.__module__) for part in parts]
    attention: Any = layer.self_attn
    config = attention.config
    return (
        own == [(name, kind.__module__) for name in names]
        and all(type(part) is nn.Linear for part in layer.modules() if _is_product(part))
        and config.hidden_act in ("silu", "swish")
        and getattr(config, "sliding_window", None) is None
    )


def _is_product(module: nn.Module) -> bool:
    """Whether it is a linear layer, such as a quantised one."""
    return hasattr(module, "in_features")
