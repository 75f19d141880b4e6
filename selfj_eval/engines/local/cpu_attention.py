"""Attention of packed rows on a CPU, in plain matrix products along the paths of the tree."""

from __future__ import annotations

import torch

from selfj_eval.engines.local.prefix_tree import Nodes

_PIECE = 128
"""Queries at a time. More would be masked more often; fewer are slower products."""


def attend_along(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    nodes: Nodes,
    scaling: float,
    last: torch.Tensor | None,
) -> torch.Tensor:
    """Each token attends to those before it in its own prompts.

    As ``prefix_tree.attend``, whose kernel computes in float32 whatever the dtype, needs a mask for
    all keys, and copies the keys before a node for each of its pieces. Here they stay in place
    while one node after another of the same prompts follows them. In bfloat16, products of queries
    and keys are rounded before the softmax, as in transformers' eager attention.

    Args:
        query: Shape (heads, tokens, width), or of the ``last`` tokens alone.
        key: Shape (key heads, tokens, width); a key head serves a group of consecutive heads.
        value: As key.
        nodes: Of a packed row.
        scaling: Factor of the products.
        last: The only tokens with a query, in the order of ``query``, each the last of a node; None
            for all.

    Returns:
        Shape (tokens, heads, width), of the tokens with a query.
    """
    heads, queries, width = query.shape
    key_heads = len(key)
    longest = max(node.keys for node in nodes.all)
    piece = min(_PIECE, max(node.end - node.start for node in nodes.all))
    path = key_heads * longest * width
    sizes = [path, path, heads * piece * longest, heads * piece * width]
    # To allocate it in each layer would take longer than the copies into it.
    room = nodes.room(sum(sizes), query)
    keys, values, all_weights, all_sums = torch.split_with_sizes(room, sizes)
    keys = keys.view(key_heads, width, longest)  # or oneDNN would transpose them at each call
    values = values.view(key_heads, longest, width)
    hidden = query.new_full((piece, piece), -torch.inf).triu_(1)
    places = None if last is None else {token: at for at, token in enumerate(last.tolist())}
    found = query.new_empty(queries, heads, width)
    for node in nodes.all:  # depth first: the keys of what it continues are still there
        start, end = node.start, node.end
        before = node.keys - (end - start)
        keys[..., before : node.keys] = key[:, start:end].transpose(1, 2)
        values[:, before : node.keys] = value[:, start:end]
        if places is None:
            pieces = range(start, end, piece)
        else:
            pieces = range(end - 1, end) if end - 1 in places else range(0)
        for at in pieces:
            own = min(piece, end - at)
            row = at if places is None else places[at]
            seen = before + at + own - start
            asked = query[:, row : row + own].reshape(key_heads, -1, width)
            weights = all_weights[: heads * own * seen].view(key_heads, -1, seen)
            torch.baddbmm(weights, asked, keys[..., :seen], beta=0, alpha=scaling, out=weights)
            weights.view(heads, own, seen)[..., seen - own :] += hidden[:own, :own]
            torch.softmax(weights, -1, out=weights)
            sums = all_sums[: heads * own * width].view(key_heads, -1, width)
            torch.bmm(weights, values[:, :seen], out=sums)
            found[row : row + own] = sums.view(heads, own, width).transpose(0, 1)
    return found
