"""Attention of packed rows on a CPU, in plain matrix products along the paths of the tree."""

from __future__ import annotations

from itertools import takewhile
from typing import NamedTuple

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
        asked: Where the queries are put, of shape (key heads, heads of each, queries, width).
        rows: Their places among the queries given.
        query: Shape (key heads, queries of all heads of each, width).
        key: Shape (key heads, width, keys).
        value: Shape (key heads, keys, width).
        weights: Of each value, of shape (key heads, queries of all heads of each, keys).
        masked: Those of them that may not count, of shape (heads, queries, keys).
        mask: What is added to these, 0 or minus infinity.
        sums: Of the weighted values, in the shape of ``query``.
        found: The same as (queries, heads, width).
    """

    new: list[tuple[torch.Tensor, slice]]
    blank: torch.Tensor | None
    asked: torch.Tensor
    rows: slice
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    weights: torch.Tensor
    masked: torch.Tensor
    mask: torch.Tensor
    sums: torch.Tensor
    found: torch.Tensor


def attend_along(
    query: torch.Tensor,
    keys_values: torch.Tensor,
    nodes: Nodes,
    scaling: float,
    only_last: bool,
) -> torch.Tensor:
    """Each token attends to those before it in its own prompts.

    As ``prefix_tree.attend``, whose kernel computes in float32 whatever the dtype, needs a mask for
    all keys, and copies the keys before a node for each of its pieces. Here they stay in place from
    one step to the next if both continue the same tokens and have about as many keys. In bfloat16,
    products of queries and keys are rounded before the softmax, as in transformers' eager
    attention.

    Args:
        query: Shape (tokens, heads, width), or of the last tokens of the prompts alone.
        keys_values: The keys, then the values; shape (tokens, 2 x key heads, width). A key head
            serves a group of consecutive heads.
        nodes: Of a packed row.
        scaling: Factor of the products.
        only_last: Whether only the last tokens have a query, in the order of ``nodes.last``.

    Returns:
        Shape (tokens, heads, width), of the tokens with a query.
    """
    queries, heads, width = query.shape
    key_heads = keys_values.shape[1] // 2
    kind = (heads, key_heads, width, query.dtype, only_last)
    if nodes.plan is None or nodes.plan[0] != kind:
        nodes.plan = None  # its memory is free before that of the next
        nodes.plan = kind, _plan(nodes, query, key_heads, only_last)
    grouped = query.view(queries, key_heads, -1, width).permute(1, 2, 0, 3)
    by_head = keys_values.transpose(0, 1)
    found = torch.empty_like(query)
    for step in nodes.plan[1]:
        for place, tokens in step.new:
            place.copy_(by_head[:, tokens])
        if step.blank is not None:
            step.blank.zero_()
        step.asked.copy_(grouped[:, :, step.rows])
        weights = step.weights
        torch.baddbmm(weights, step.query, step.key, beta=0, alpha=scaling, out=weights)
        step.masked.add_(step.mask)
        torch.softmax(weights, -1, out=weights)
        torch.bmm(weights, step.value, out=step.sums)
        found[step.rows] = step.found
    return found


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


def _plan(nodes: Nodes, query: torch.Tensor, key_heads: int, only_last: bool) -> list[_Step]:
    """The steps, ordered so that those that continue the same tokens follow each other."""
    heads, width = query.shape[1:]
    if only_last:
        places = {token: at for at, token in enumerate(nodes.last.tolist())}
        pieces = [_Piece(n, n.end - 1, n.end) for n in nodes.all if n.end - 1 in places]
    else:
        pieces = [piece for node in nodes.all for piece in _pieces(node)]
        places = {piece.start: piece.start for piece in pieces}
    pieces.sort(key=lambda piece: (piece.node.before, piece.seen))
    most_queries = max(piece.queries for piece in pieces)
    # To allocate it in each layer would take longer than the copies into it.
    sizes = [
        2 * key_heads * max(piece.keys for piece in pieces) * width,
        heads * most_queries * width,
        heads * most_queries * width,
        heads * max(piece.queries * piece.keys for piece in pieces),
    ]
    room = torch.split_with_sizes(query.new_zeros(sum(sizes)), sizes)
    all_keys_values, all_asked, all_sums, all_weights = room
    # A mask has fewer than _KEYS columns before its diagonal, and as few after the last key.
    hidden = query.new_full((most_queries, most_queries + 2 * _KEYS), -torch.inf).triu_(_KEYS + 1)
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
        asked = all_asked[: heads * piece.queries * width].view(key_heads, -1, piece.queries, width)
        weights = all_weights[: heads * piece.queries * keys].view(key_heads, -1, keys)
        sums = all_sums[: heads * piece.queries * width].view(key_heads, -1, width)
        # From a multiple of _KEYS on: memory that is not aligned would take three times as long.
        skipped = (piece.seen - own) // _KEYS * _KEYS
        shift = _KEYS - (piece.seen - own - skipped)
        steps.append(
            _Step(
                new=new,
                blank=blank,
                asked=asked[:, :, :own],
                rows=slice(places[piece.start], places[piece.start] + own),
                query=asked.flatten(1, 2),
                key=both[:key_heads].transpose(1, 2),
                value=both[key_heads:],
                weights=weights,
                masked=weights.view(heads, -1, keys)[:, :own, skipped:],
                mask=hidden[:own, shift : shift + keys - skipped],
                sums=sums,
                found=sums.view(heads, -1, width)[:, :own].transpose(0, 1),
            )
        )
    return steps


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
