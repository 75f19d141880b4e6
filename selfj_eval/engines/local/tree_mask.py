"""Packed prompts on an accelerator: FlexAttention, one kernel a layer for all of their nodes."""

from __future__ import annotations

from functools import cache
from math import isclose
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from selfj_eval.engines.local.prefix_tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 128
"""Tokens of a block; the kernel skips blocks of which nothing is seen."""


class TreeMask:
    """What the layers attend by, as ``prefix_tree.Nodes``.

    The row is in depth-first order: all that continues token k stands between k and ``ends[k]``. So
    token q sees token k if k <= q < ends[k].

    Args:
        tree: The packed prompts.

    Attributes:
        used: How many layers have attended by it.
    """

    def __init__(self, tree: Tree) -> None:
        self._ends, self._masks = continued_until(tree), dict[torch.device, BlockMask]()
        self.used = 0

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """As ``prefix_tree.attend``."""
        self.used += 1
        device, usual = query.device, query.shape[-1] ** -0.5
        if device not in self._masks:  # a model's layers may lie on several
            self._masks[device] = block_mask(self._ends.to(device))
        found: torch.Tensor = _kernel(device.type)(
            query, key, value, block_mask=self._masks[device],
            # Another number would become an input of the compiled graph.
            scale=None if scaling is not None and isclose(scaling, usual) else scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )  # fmt: skip
        return found.transpose(1, 2).contiguous()


def continued_until(tree: Tree) -> torch.Tensor:
    """Of each token of the packed row, where the last prompt with it ends; shape (tokens,)."""
    ends = torch.empty(len(tree.ids), dtype=torch.int32)
    for node in tree.nodes:
        for start, end in (*node.before, (node.start, node.end)):
            ends[start:end] = node.end
    return ends


def block_mask(ends: torch.Tensor) -> BlockMask:
    """Which blocks of keys are seen, wholly or in part, from each block of queries.

    Not by ``create_block_mask``, which looks at each pair of tokens.

    Args:
        ends: From ``continued_until``.
    """
    tokens = len(ends)
    firsts = torch.arange(0, tokens, BLOCK, device=ends.device)
    lasts = (firsts + BLOCK).clamp(max=tokens) - 1
    rest = -tokens % BLOCK
    longest = torch.cat([ends, ends.new_zeros(rest)]).view(-1, BLOCK).amax(1)
    shortest = torch.cat([ends, ends.new_full((rest,), tokens)]).view(-1, BLOCK).amin(1)
    seen = (firsts <= lasts[:, None]) & (firsts[:, None] < longest)
    whole = (lasts < firsts[:, None]) & (lasts[:, None] < shortest)

    def sees(_: Any, __: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (key <= query) & (query < ends[key])

    return BlockMask.from_kv_blocks(
        *_listed(seen & ~whole), *_listed(whole), BLOCK_SIZE=BLOCK, mask_mod=sees,
        seq_lengths=(tokens, tokens), compute_q_blocks=False,
    )  # fmt: skip


def _listed(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How many blocks of keys there are for each one of queries, and which come first."""
    order = blocks.to(torch.int8).argsort(dim=1, descending=True, stable=True)
    return blocks.sum(1, dtype=torch.int32)[None, None], order.to(torch.int32)[None, None]


@cache
def _kernel(device: str) -> Callable[..., Any]:
    """The compiled kernel; on a CPU, where nodes one by one are as fast, its plain definition."""
    if device == "cpu":
        return flex_attention
    # Without `fullgraph`, after some kinds of models it would silently compute all pairs of tokens.
    return torch.compile(flex_attention, dynamic=True, fullgraph=True)
