"""Prompts that begin alike, packed into one row: what they share is computed once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

    from selfj_eval.engines.local.tree_mask import TreeMask

ATTENTION = "selfj_prefix_tree"
"""Name under which ``register`` makes the attention known to transformers."""
LEAST_SHARED = 8
"""Fewer shared tokens are not worth a node of their own."""
PIECE, CPU_PIECE = 1024, 256
"""Most tokens of a node with others before it. Its mask, where there is one, grows with both, and
so does what is computed and masked; on an accelerator, more calls cost more than that."""
_KEPT_MASK = 1 << 22
"""Numbers of a mask that all layers share; a larger one is made by each, and gone after it."""


class Node(NamedTuple):
    """A run of tokens that belongs to one prompt, or is shared by several.

    Attributes:
        start, end: Its place in the packed row.
        before: Places of the runs that stand before it in its prompts, in order.
    """

    start: int
    end: int
    before: tuple[tuple[int, int], ...]

    @property
    def keys(self) -> int:
        """How many tokens its last one sees, itself among them."""
        return self.end - self.start + sum(end - start for start, end in self.before)


class Masked(NamedTuple):
    """A node, and which of its keys each of its tokens sees.

    Attributes:
        node: The node.
        mask: What is added to the products, 0 or minus infinity, of shape (tokens of the node,
            tokens before it and its own); None where it is made when it is needed, and where
            nothing stands before the node: plain causal attention will do.
    """

    node: Node
    mask: torch.Tensor | None


class Tree(NamedTuple):
    """Packed prompts.

    Attributes:
        ids: Token ids, each shared run once.
        positions: Of each token, its position in its prompts.
        nodes: The runs, in the order of the row.
        last: Of each prompt, in the order given, the place of its last token.
    """

    ids: list[int]
    positions: list[int]
    nodes: list[Node]
    last: list[int]


def tree_batches(rows: Sequence[Sequence[int]], batch_tokens: int) -> Iterator[list[int]]:
    """Positions of rows of token ids in batches that share their beginnings.

    Args:
        rows: The rows; none is empty.
        batch_tokens: About the most tokens of a packed batch, unless one row has more; then rows
            that share it may add an eighth of a batch.
    """
    batch: list[int] = []
    used = most = 0
    for index in sorted(range(len(rows)), key=lambda at: tuple(rows[at])):
        new = len(rows[index])
        if batch:
            shared = _shared(rows[batch[-1]], rows[index])
            own = new - shared if shared >= LEAST_SHARED else new
            if used + own > most:
                yield batch
                batch, used = [], 0
            else:
                new = own
        if not batch:
            most = max(batch_tokens, new + batch_tokens // 8)
        batch.append(index)
        used += new
    if batch:
        yield batch


def pack(rows: Sequence[Sequence[int]], piece: int = PIECE) -> Tree:
    """Pack rows of token ids.

    Every row keeps at least its last token to itself, since there its next token is predicted.

    Args:
        rows: In lexicographic order, as ``tree_batches`` gives them.
        piece: Most tokens of a node with others before it.
    """
    common = [_shared(one, other) for one, other in pairwise(rows)]
    tree = Tree([], [], [], [0] * len(rows))
    # What is left to pack: rows[low:high], which agree in `depth` tokens, packed at `before`.
    stack: list[tuple[int, int, int, tuple[tuple[int, int], ...]]] = [(0, len(rows), 0, ())]
    while stack:
        low, high, depth, before = stack.pop()
        if high - low == 1:
            _append(tree, rows[low][depth:], depth, before, piece)
            tree.last[low] = len(tree.ids) - 1
            continue
        end = min(common[low : high - 1])
        if end - depth >= LEAST_SHARED:
            before = (*before, _append(tree, rows[low][depth:end], depth, before, piece))
            depth = end
        # Groups that agree in enough more tokens.
        cuts = [at + 1 for at in range(low, high - 1) if common[at] < depth + LEAST_SHARED]
        groups = list(pairwise([low, *cuts, high]))
        stack += [(*group, depth, before) for group in reversed(groups)]
    return tree


class Nodes:
    """What the layers attend by.

    Attributes:
        all: The nodes of the packed row.
        last: Of each prompt, the place of its last token; nothing else of the last layer is read.
        used: How many layers have attended by them.
        plan: A kind of layer, and what attention has prepared once for all layers of this kind.
    """

    def __init__(self, tree: Tree, device: str, dtype: torch.dtype) -> None:
        import torch

        self.all, self.last, self.used = tree.nodes, torch.tensor(tree.last), 0
        self._device, self._dtype = torch.device(device), dtype
        self.plan: tuple[Hashable, Any] | None = None

    @cached_property
    def _masked(self) -> list[Masked]:
        """The nodes with the masks that all layers share."""
        return [_masked(node, self._device, self._dtype) for node in self.all]

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """``attend`` by all nodes."""
        self.used += 1
        return attend(query, key, value, self._masked, scaling)


def _masked(node: Node, device: torch.device, dtype: torch.dtype) -> Masked:
    kept = node.before and (node.end - node.start) * node.keys <= _KEPT_MASK
    return Masked(node, _mask(node, device, dtype) if kept else None)


def _mask(node: Node, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """All that stands before a token, and the token itself."""
    import torch

    own = node.end - node.start
    hidden = torch.full((own, node.keys), -torch.inf, dtype=dtype, device=device)
    return hidden.triu_(node.keys - own + 1)


def _append(
    tree: Tree, run: Sequence[int], depth: int, before: tuple[tuple[int, int], ...], piece: int
) -> tuple[int, int]:
    place = len(tree.ids), len(tree.ids) + len(run)
    tree.ids.extend(run)
    tree.positions.extend(range(depth, depth + len(run)))
    step = piece if before else len(run)
    for at in range(place[0], place[1], step):
        seen = (*before, (place[0], at)) if at > place[0] else before
        tree.nodes.append(Node(at, min(at + step, place[1]), seen))
    return place


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two rows have in common at their beginning, but for their last ones."""
    most = min(len(one), len(other)) - 1
    return next((at for at in range(most) if one[at] != other[at]), most)


def register() -> None:
    """Make the attention known to transformers, for ``model.set_attn_implementation``."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    selfj_nodes: Nodes | TreeMask | None = None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """``attend``, as transformers calls it.

    Args:
        module: The layer.
        query, key, value: See ``attend``.
        attention_mask: None: the nodes say all.
        selfj_nodes: Of a packed row.
        scaling: Factor of the products.
        **more: What the architecture passes on besides.
    """
    if more.get("softcap") is not None or more.get("s_aux") is not None:
        raise NotImplementedError("this architecture's attention is not packed")
    if selfj_nodes is None:
        return attend(query, key, value, None, scaling), None
    return selfj_nodes.attend(query, key, value, scaling), None


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    nodes: Sequence[Masked] | None,
    scaling: float | None,
) -> torch.Tensor:
    """Each token of the nodes attends to those before it in its own prompts.

    Args:
        query: Shape (rows, heads, tokens, width); key and value may have fewer heads.
        key, value: See query.
        nodes: Of a packed row; without them, plain causal attention.
        scaling: Factor of the products.

    Returns:
        Shape (rows, tokens, heads, width), contiguous.
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    gqa = key.shape[1] != query.shape[1]
    if nodes is None:
        whole = scaled_dot_product_attention(
            query, key, value, is_causal=query.shape[2] > 1, scale=scaling, enable_gqa=gqa
        )
        return whole.transpose(1, 2).contiguous()
    rows, heads, tokens, width = query.shape
    found = query.new_empty(rows, tokens, heads, width)
    for node, mask in nodes:
        own = query[:, :, node.start : node.end]
        keys, values = key[:, :, node.start : node.end], value[:, :, node.start : node.end]
        if node.before:
            mask = _mask(node, own.device, own.dtype) if mask is None else mask
            places = [*node.before, (node.start, node.end)]
            keys, values = (
                torch.cat([whole[:, :, start:end] for start, end in places], 2)
                for whole in (key, value)
            )
            mask = mask.to(own.device, own.dtype)  # a model's layers may lie on several
            if gqa and own.is_cuda:  # grouped and masked, only a slow kernel takes it there
                groups = own.shape[1] // keys.shape[1]
                keys, values = (t.repeat_interleave(groups, 1) for t in (keys, values))
        grouped = keys.shape[1] != own.shape[1]
        found[:, node.start : node.end] = scaled_dot_product_attention(
            own, keys, values, attn_mask=mask, is_causal=mask is None, scale=scaling,
            enable_gqa=grouped,
        ).transpose(1, 2)  # fmt: skip
    return found
