"""Attention of packed rows on a CPU, in plain matrix products along the paths of the tree."""

from __future__ import annotations

from typing import NamedTuple

import torch

from selfj_eval.engines.local.prefix_tree import Node, Nodes

_PIECE = 128
"""About so many queries at a time, at most half as many more. More would be masked more often;
fewer are slower products."""
_KEYS = 32
"""The number of keys is a multiple of it: softmax and masks are faster, and products of few
different shapes occur, each of which oneDNN compiles when it occurs first."""
_QUERIES = 8
"""The same of the queries."""


class _Step(NamedTuple):
    """Some queries of a node, with views of the memory that all layers and steps share.

    Attributes:
        new: Keys and values that the steps before have not put in place: there, and their tokens.
        blank: Keys and values beyond the last one that the steps before have not left 0.
        asked: Where the queries are put, of shape (key heads, heads of each, queries, width).
        rows: Which of the queries of the row they are.
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
    last: torch.Tensor | None,
) -> torch.Tensor:
    """Each token attends to those before it in its own prompts.

    As ``prefix_tree.attend``, whose kernel computes in float32 whatever the dtype, needs a mask for
    all keys, and copies the keys before a node for each of its pieces. Here they stay in place
    while nodes of the same prompts follow them. In bfloat16, products of queries and keys are
    rounded before the softmax, as in transformers' eager attention.

    Args:
        query: Shape (tokens, heads, width), or of the ``last`` tokens alone.
        keys_values: The keys, then the values; shape (tokens, 2 x key heads, width). A key head
            serves a group of consecutive heads.
        nodes: Of a packed row.
        scaling: Factor of the products.
        last: The only tokens with a query, in the order of ``query``, each the last of a node; None
            for all.

    Returns:
        Shape (tokens, heads, width), of the tokens with a query.
    """
    queries, heads, width = query.shape
    key_heads = keys_values.shape[1] // 2
    wanted = (heads, key_heads, width, query.dtype, last is None)
    steps = nodes.plans.get(wanted)
    if steps is None:
        steps = nodes.plans[wanted] = _plan(nodes.all, query, key_heads, last)
    grouped = query.view(queries, key_heads, -1, width).permute(1, 2, 0, 3)
    by_head = keys_values.transpose(0, 1)
    found = torch.empty_like(query)
    for step in steps:
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


def _plan(
    nodes: list[Node], query: torch.Tensor, key_heads: int, last: torch.Tensor | None
) -> list[_Step]:
    """Steps after each other, so that keys stay in place for those that continue the same."""
    heads, width = query.shape[1:]
    if last is None:
        pieces = [piece for node in nodes for piece in _pieces(node)]
        places = {piece.start: piece.start for piece in pieces}
    else:
        places = {token: at for at, token in enumerate(last.tolist())}
        pieces = [_Piece(n, n.end - 1, n.end) for n in nodes if n.end - 1 in places]
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
    hidden = query.new_full((most_queries, most_queries + 2 * _KEYS), -torch.inf).triu_(_KEYS + 1)
    steps, there = list[_Step](), (0, tuple[tuple[int, int], ...]())
    for piece in pieces:
        node, own, keys = piece.node, piece.end - piece.start, piece.keys
        both = all_keys_values[: 2 * key_heads * keys * width].view(-1, keys, width)
        path = [(node.start, piece.end)]
        follows = there == (keys, node.before)
        if not follows:
            path[:0] = node.before
            there = keys, node.before
        new, to = [], piece.seen
        for start, end in reversed(path):
            new.append((both[:, to - (end - start) : to], slice(start, end)))
            to -= end - start
        asked = all_asked[: heads * piece.queries * width].view(key_heads, -1, piece.queries, width)
        weights = all_weights[: heads * piece.queries * keys].view(key_heads, -1, keys)
        sums = all_sums[: heads * piece.queries * width].view(key_heads, -1, width)
        # From a multiple of _KEYS on: memory that is not aligned would take three times as long.
        skipped = (piece.seen - own) // _KEYS * _KEYS
        shift = _KEYS - (piece.seen - own - skipped)
        steps.append(
            _Step(
                new=new,
                # Those before it in this place had no more keys.
                blank=None if follows else both[:, piece.seen :],
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


def _rounded(number: int, step: int) -> int:
    """Up to a multiple."""
    return -(-number // step) * step
