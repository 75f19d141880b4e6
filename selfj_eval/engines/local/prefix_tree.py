"""Prompts that begin alike, packed into one row: what they share is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

ATTENTION = "selfj_prefix_tree"
"""Name under which ``register`` makes the attention known to transformers."""
LEAST_SHARED = 8
"""Fewer shared tokens are not worth a node of their own."""
PIECE = 1024
"""Most tokens of a node with others before it: its mask grows with both."""
_KEPT_MASK = 1 << 22
"""Bytes of a mask that all layers share; a larger one is made by each, and gone after it."""


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
        mask: Shape (tokens of the node, tokens before it and its own); None where it is made when
            it is needed, and where nothing stands before the node: plain causal attention will do.
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


def pack(rows: Sequence[Sequence[int]]) -> Tree:
    """Pack rows of token ids.

    Every row keeps at least its last token to itself, since there its next token is predicted.

    Args:
        rows: In lexicographic order, as ``tree_batches`` gives them.
    """
    common = [_shared(one, other) for one, other in pairwise(rows)]
    tree = Tree([], [], [], [0] * len(rows))
    # What is left to pack: rows[low:high], which agree in `depth` tokens, packed at `before`.
    stack: list[tuple[int, int, int, tuple[tuple[int, int], ...]]] = [(0, len(rows), 0, ())]
    while stack:
        low, high, depth, before = stack.pop()
        if high - low == 1:
            _append(tree, rows[low], depth, len(rows[low]), before)
            tree.last[low] = len(tree.ids) - 1
            continue
        end = min(common[low : high - 1])
        if end - depth >= LEAST_SHARED:
            before = (*before, _append(tree, rows[low], depth, end, before))
            depth = end
        # Groups that agree in enough more tokens.
        cuts = [at + 1 for at in range(low, high - 1) if common[at] < depth + LEAST_SHARED]
        groups = list(pairwise([low, *cuts, high]))
        stack += [(*group, depth, before) for group in reversed(groups)]
    return tree


class Nodes(list[Masked]):
    """The nodes of a packed row; ``used`` counts the layers that have attended by them."""

    used = 0


def with_masks(nodes: Sequence[Node], device: str) -> Nodes:
    """The nodes with their masks, which all layers share."""
    import torch

    found = Nodes()
    for node in nodes:
        kept = node.before and (node.end - node.start) * node.keys <= _KEPT_MASK
        found.append(Masked(node, _mask(node, torch.device(device)) if kept else None))
    return found


def _mask(node: Node, device: torch.device) -> torch.Tensor:
    """All that stands before a token, and the token itself."""
    import torch

    own = node.end - node.start
    return torch.ones(own, node.keys, dtype=torch.bool, device=device).tril(node.keys - own)


def _append(
    tree: Tree, row: Sequence[int], start: int, end: int, before: tuple[tuple[int, int], ...]
) -> tuple[int, int]:
    place = len(tree.ids), len(tree.ids) + end - start
    tree.ids.extend(row[start:end])
    tree.positions.extend(range(start, end))
    step = PIECE if before else end - start
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
    selfj_nodes: Nodes | None = None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Each token attends to those before it in its own prompts.

    Args:
        module: The layer.
        query: Shape (1, heads, tokens, width); key and value may have fewer heads.
        key, value: See query.
        attention_mask: None: the nodes say all.
        selfj_nodes: The nodes of a packed row; without them, plain causal attention.
        scaling: Factor of the products.
        **more: What the architecture passes on besides.

    Returns:
        Shape (1, tokens, heads, width).
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    if selfj_nodes is not None:
        selfj_nodes.used += 1
    if more.get("softcap") is not None or more.get("s_aux") is not None:
        raise NotImplementedError("this architecture's attention is not packed")
    gqa = key.shape[1] != query.shape[1]
    if selfj_nodes is None:
        whole = scaled_dot_product_attention(
            query, key, value, is_causal=query.shape[2] > 1, scale=scaling, enable_gqa=gqa
        )
        return whole.transpose(1, 2).contiguous(), None
    found = torch.empty_like(query)
    for node, mask in selfj_nodes:
        own = query[:, :, node.start : node.end]
        keys, values = key[:, :, node.start : node.end], value[:, :, node.start : node.end]
        if node.before:
            mask = _mask(node, own.device) if mask is None else mask
            places = [*node.before, (node.start, node.end)]
            keys, values = (
                torch.cat([whole[:, :, start:end] for start, end in places], 2)
                for whole in (key, value)
            )
            mask = mask.to(own.device)  # a model's layers may lie on several
            if gqa and own.is_cuda:  # grouped and masked, only a slow kernel takes it there
                groups = own.shape[1] // keys.shape[1]
                keys, values = (t.repeat_interleave(groups, 1) for t in (keys, values))
        grouped = keys.shape[1] != own.shape[1]
        found[:, :, node.start : node.end] = scaled_dot_product_attention(
            own, keys, values, attn_mask=mask, is_causal=mask is None, scale=scaling,
            enable_gqa=grouped,
        )  # fmt: skip
    return found.transpose(1, 2).contiguous(), None
