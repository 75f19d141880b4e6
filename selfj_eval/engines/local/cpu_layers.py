"""Layers of Llama's kind on a CPU, with few passes over memory between their matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from selfj_eval.engines.local.cpu_attention import attend_along, has_amx
from selfj_eval.engines.local.prefix_tree import Nodes, attend

_KINDS = ("Llama", "Mistral", "Qwen2")
"""By name, so that the modules of those that are not used are not imported."""
_PARTS = ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm")
_ROWS = 1024
"""Tokens at a time between two attentions: what small models need then stays in the cache."""
_STEP = 32
"""The number of tokens is rounded up to a multiple of it, since oneDNN compiles a product for each
new number of tokens, which can take tens of milliseconds with AMX."""


class Product:
    """What linear layers with the same input compute, side by side, by oneDNN.

    Args:
        *linears: The layers, in float32 or bfloat16. All have a bias, or none has.
        order: Which of their numbers comes first, second and so on, if not in their own order.

    Attributes:
        size: How many numbers it gives per token.
    """

    def __init__(self, *linears: nn.Linear, order: torch.Tensor | None = None) -> None:
        weights = [linear.weight.detach() for linear in linears]
        weight = weights[0] if len(weights) == 1 else torch.cat(weights)
        self.size = len(weight)
        biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
        bias = torch.cat(biases) if biases else None
        if order is not None:
            weight, bias = weight[order], None if bias is None else bias[order]
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        self._bias = bias

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
        # The fused kernel is faster with AMX only, but keeps products in float32: biases can move
        # all products of a query and its keys far from 0, where bfloat16 is coarse.
        self._fused = attention.q_proj.weight.dtype is torch.bfloat16 and (
            has_amx() or attention.q_proj.bias is not None or attention.k_proj.bias is not None
        )
        query, key, value = attention.q_proj, attention.k_proj, attention.v_proj
        # Of a packed row, the last layer needs all keys but few queries.
        if self._is_last:
            parts = [([query], self._heads), ([key, value], self._key_heads)]
        else:
            parts = [([query, key, value], self._heads + self._key_heads)]
        self._qkv = [
            (Product(*linears, order=_paired(linears, turned, self._size)), turned)
            for linears, turned in parts
        ]
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
        cosines, sines = (p[..., : self._size // 2].float() for p in position_embeddings)
        turns = torch.complex(cosines, sines).expand(rows, -1, -1).reshape(len(before), -1)
        last = selfj_nodes.last if selfj_nodes is not None and self._is_last else None
        if self._is_last:
            keys_values = self._projected(*self._qkv[1], before, turns)
            if last is not None:
                before, turns = before[last], turns[last]
            query = self._projected(*self._qkv[0], before, turns)
        else:
            found = self._projected(*self._qkv[0], before, turns)
            query, keys_values = found[: self._heads], found[self._heads :]
        if selfj_nodes is not None:
            selfj_nodes.used += 1
            attended = attend_along(
                query, keys_values, selfj_nodes, self._scaling, last is not None, self._fused
            )
        else:
            query, key, value = (
                part.view(-1, rows, tokens, self._size).transpose(0, 1)
                for part in (query, *torch.chunk(keys_values, 2))
            )
            attended = attend(query, key, value, None, self._scaling)
        return self._finished(attended.view(len(before), -1), before).view(rows, -1, width)

    def _projected(
        self, product: Product, turned: int, before: torch.Tensor, turns: torch.Tensor
    ) -> torch.Tensor:
        """What a product gives, by heads; the first ones are turned by their positions.

        Args:
            product: Of the linear layers before the attention.
            turned: How many heads are turned.
            before: Shape (tokens, width).
            turns: Complex numbers of shape (tokens, head width / 2).

        Returns:
            Shape (heads, tokens, head width).
        """
        found = before.new_empty(product.size // self._size, len(before), self._size)
        for at in range(0, len(before), _ROWS):
            part = slice(at, at + _ROWS)
            own = found[:, part]
            normed = _normed(_filled(before[part]), *self._norms[0])
            joined = product(normed).view(len(normed), -1, self._size)
            heads = joined[: own.shape[1]].transpose(0, 1)
            _turn(heads[:turned], turns[part], own[:turned])
            own[turned:] = heads[turned:]
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


def _paired(linears: Sequence[nn.Linear], turned: int, size: int) -> torch.Tensor:
    """The order in which numbers that are turned together are next to each other.

    Queries and keys may have any order as long as it is the same.

    Args:
        linears: The layers before the attention.
        turned: How many of their heads are turned; transformers turns the first half of a head's
            numbers together with the second half.
        size: Of a head.
    """
    order = torch.arange(sum(linear.out_features for linear in linears)).view(-1, 2, size // 2)
    return torch.cat([order[:turned].transpose(1, 2).flatten(), order[turned:].flatten()])


def _turn(heads: torch.Tensor, turns: torch.Tensor, out: torch.Tensor) -> None:
    """Turns pairs of numbers, as complex numbers; in bfloat16 they are rounded once, at the end.

    Args:
        heads: Shape (heads, tokens, head width).
        turns: Shape (tokens, head width / 2).
        out: For the result, in the shape of ``heads``.
    """
    if out.dtype is torch.float32:
        torch.mul(_complex(heads), turns, out=_complex(out))
    else:
        wide = heads.to(torch.float32, memory_format=torch.contiguous_format)
        _complex(wide).mul_(turns)
        out.copy_(wide)


def _complex(x: torch.Tensor) -> torch.Tensor:
    """Pairs of numbers as complex numbers, in the same memory."""
    return torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))


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
