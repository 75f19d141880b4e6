"""Attention of packed rows on a CPU, along the paths of the tree."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from typing import Any, NamedTuple

import torch

from selfj_eval.engines.local.prefix_tree import Node, Nodes

_PIECE = 128
"""About this many queries at a time, and at most half as many again. With more, more products would
be masked; with fewer, the products are slower."""
_KEYS = 32
"""The number of keys is rounded up to a multiple of it: softmax and masking are faster, and fewer
shapes of products occur, each of which oneDNN compiles when it first occurs."""
_QUERIES = 8
"""The same for queries."""


class _Step(NamedTuple):
    """Some queries of a node, with views of memory that is the same in all steps of a plan.

    Attributes:
        new: The keys and values to copy: where to, and which tokens.
        blank: What is behind the last key and may hold another step's numbers, which must become 0,
            since even 0 times NaN is NaN; None if it is 0.
        rows: The places of the queries among those given.
        key: Shape (key heads, keys, width).
        value: The same.
        mask: What is added to the last columns of the products, 0 or minus infinity; shape
            (queries, columns).
        room: For the products, if they are not made by a fused kernel.
    """

    new: list[tuple[torch.Tensor, slice]]
    blank: torch.Tensor | None
    rows: slice
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor
    room: _Room | None


class _Room(NamedTuple):
    """Where a step's products are put.

    Attributes:
        asked: The queries, of shape (key heads, heads of each, queries, width).
        query: The same with the queries of all heads of each in a row.
        weights: Of each value, of shape (key heads, queries of all heads of each, keys).
        masked: Those of them that may not count, of shape (heads, queries, columns of the mask).
        sums: Of the weighted values, in the shape of ``query``.
        found: The same as (queries, heads, width).
    """

    asked: torch.Tensor
    query: torch.Tensor
    weights: torch.Tensor
    masked: torch.Tensor
    sums: torch.Tensor
    found: torch.Tensor


def has_amx() -> bool:
    """Whether the processor multiplies bfloat16 by AMX, as far as torch tells: 2.6 does not."""
    tell: Any = getattr(torch.cpu, "get_capabilities", dict)
    return bool(tell().get("amx_bf16"))


def attend_along(
    query: torch.Tensor,
    keys_values: torch.Tensor,
    nodes: Nodes,
    scaling: float,
    only_last: bool,
    fused: bool = False,
) -> torch.Tensor:
    """Each token attends to those before it in its own prompts.

    As ``prefix_tree.attend``, which copies the keys before a node for each of its pieces. Here they
    stay in place from one step to the next if both continue the same tokens and have about as many
    keys. In bfloat16, plain products of queries and keys are rounded before the softmax, as in
    transformers' eager attention; the fused kernel keeps them in float32.

    Args:
        query: Shape (heads, tokens, width), or of the last tokens of the prompts alone.
        keys_values: The keys, then the values; shape (2 x key heads, tokens, width). A key head
            serves a group of consecutive heads.
        nodes: Of a packed row.
        scaling: Factor of the products.
        only_last: Whether only the last tokens have a query, in the order of ``nodes.last``.
        fused: Whether torch's fused kernel attends, instead of plain matrix products.

    Returns:
        Shape (tokens, heads, width), of the tokens with a query.
    """
    heads, queries, width = query.shape
    key_heads = len(keys_values) // 2
    kind = (heads, key_heads, width, query.dtype, only_last, fused)
    if nodes.plan is None or nodes.plan[0] != kind:
        nodes.plan = None  # its memory is free before that of the next
        nodes.plan = kind, _plan(nodes, query, key_heads, only_last, fused)
    found = query.new_empty(queries, heads, width)
    for step in nodes.plan[1]:
        for place, tokens in step.new:
            place.copy_(keys_values[:, tokens])
        if step.blank is not None:
            step.blank.zero_()
        own = query[:, step.rows]
        found[step.rows] = (_fused if step.room is None else _plain)(step, own, scaling)
    return found


def _fused(step: _Step, query: torch.Tensor, scaling: float) -> torch.Tensor:
    """The result of a step, of shape (queries, heads, width)."""
    attended = torch.nn.functional.scaled_dot_product_attention(
        query[None], step.key[None], step.value[None], attn_mask=step.mask, scale=scaling,
        enable_gqa=len(step.key) != len(query),
    )  # fmt: skip
    return attended[0].transpose(0, 1)


def _plain(step: _Step, query: torch.Tensor, scaling: float) -> torch.Tensor:
    """The same as ``_fused`` by plain products, which are faster without AMX.

    They need a mask only for the last keys.
    """
    room = step.room
    assert room is not None
    room.asked.copy_(query.view(room.asked.shape))
    weights = room.weights
    torch.baddbmm(weights, room.query, step.key.mT, beta=0, alpha=scaling, out=weights)
    room.masked.add_(step.mask)
    torch.softmax(weights, -1, out=weights)
    torch.bmm(weights, step.value, out=room.sums)
    return room.found


class _Piece(NamedTuple):
    """Consecutive queries of a node.

    Attributes:
        node: The node.
        start, end: Their places in the packed row.
    """

    node: Node
    start: int
    end: int

    @property
    def seen(self) -> int:
        """How many keys its last one sees."""
        return self.node.keys - (self.node.end - self.end)

    @property
    def keys(self) -> int:
        """The same, rounded up."""
        return _rounded(self.seen, _KEYS)

    @property
    def queries(self) -> int:
        """How many queries it has, rounded up."""
        return _rounded(self.end - self.start, _QUERIES)


def _plan(
    nodes: Nodes, query: torch.Tensor, key_heads: int, only_last: bool, fused: bool
) -> list[_Step]:
    """The steps, ordered so that those that continue the same tokens follow each other."""
    width = query.shape[2]
    if only_last:
        places = {token: at for at, token in enumerate(nodes.last.tolist())}
        pieces = [_Piece(n, n.end - 1, n.end) for n in nodes.all if n.end - 1 in places]
    else:
        pieces = [piece for node in nodes.all for piece in _pieces(node)]
        places = {piece.start: piece.start for piece in pieces}
    pieces.sort(key=lambda piece: (piece.node.before, piece.seen))
    most_queries = max(piece.queries for piece in pieces)
    most_keys = max(piece.keys for piece in pieces)
    all_keys_values = query.new_zeros(2 * key_heads * most_keys * width)
    # A fused kernel masks all keys; plain products mask fewer than _KEYS before the diagonal.
    before = most_keys if fused else _KEYS
    hidden = query.new_full((most_queries, before + most_queries + _KEYS), -torch.inf)
    hidden.triu_(before + 1)
    room_for = None if fused else _rooms(pieces, query, key_heads)
    steps = list[_Step]()
    in_place, layout, filled = list[tuple[int, int]](), 0, 0
    for piece in pieces:
        node, own, keys = piece.node, piece.end - piece.start, piece.keys
        both = all_keys_values[: 2 * key_heads * keys * width].view(-1, keys, width)
        path = [*node.before, (node.start, piece.end)]
        if keys != layout:
            in_place, layout, filled = [], keys, keys
        same = _agreeing(path, in_place)
        new, stop = [], 0
        for number, (start, end) in enumerate(path):
            begin, stop = stop, stop + end - start
            if number >= same:
                new.append((both[:, begin:stop], slice(start, end)))
        blank = both[:, stop:] if filled > stop else None
        in_place, filled = path, stop
        # From a multiple of _KEYS on: memory that is not aligned would take three times as long.
        skipped = 0 if fused else (piece.seen - own) // _KEYS * _KEYS
        shift = before - (piece.seen - own - skipped)
        steps.append(
            _Step(
                new=new,
                blank=blank,
                rows=slice(places[piece.start], places[piece.start] + own),
                key=both[:key_heads],
                value=both[key_heads:],
                mask=hidden[:own, shift : shift + keys - skipped],
                room=None if room_for is None else room_for(piece, skipped),
            )
        )
    return steps


def _rooms(
    pieces: list[_Piece], query: torch.Tensor, key_heads: int
) -> Callable[[_Piece, int], _Room]:
    """Gives the room of a piece, in memory that all of them share.

    To allocate it in each layer would take longer than the copies into it.
    """
    heads, _, width = query.shape
    per_query = heads * width * max(piece.queries for piece in pieces)
    sizes = [per_query, per_query, heads * max(piece.queries * piece.keys for piece in pieces)]
    all_asked, all_sums, all_weights = torch.split_with_sizes(query.new_zeros(sum(sizes)), sizes)

    def room(piece: _Piece, skipped: int) -> _Room:
        own = piece.end - piece.start
        asked = all_asked[: heads * piece.queries * width].view(key_heads, -1, piece.queries, width)
        weights = all_weights[: heads * piece.queries * piece.keys].view(key_heads, -1, piece.keys)
        sums = all_sums[: heads * piece.queries * width].view(key_heads, -1, width)
        return _Room(
            asked=asked[:, :, :own],
            query=asked.flatten(1, 2),
            weights=weights,
            masked=weights.view(heads, -1, piece.keys)[:, :own, skipped:],
            sums=sums,
            found=sums.view(heads, -1, width)[:, :own].transpose(0, 1),
        )

    return room


def _pieces(node: Node) -> list[_Piece]:
    """All queries of a node, in parts of nearly the same length."""
    own = node.end - node.start
    step = -(-own // max(1, round(own / _PIECE)))
    starts = range(node.start, node.end, step)
    return [_Piece(node, start, min(start + step, node.end)) for start in starts]


def _agreeing(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
    """How many runs two paths have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _rounded(number: int, step: int) -> int:
    """Up to a multiple."""
    return -(-number // step) * step
