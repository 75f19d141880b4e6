"""Attention along the paths of the tree gives what attention node by node gives."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from selfj_eval.engines.local import cpu_attention
from selfj_eval.engines.local.cpu_attention import attend_along
from selfj_eval.engines.local.prefix_tree import Nodes, Tree, pack


def tree(seed: int, most: int, piece: int) -> Tree:
    """Of prompts that continue each other or begin anew, up to so many tokens each time."""
    random, rows = Random(seed), [[0]]
    for _ in range(12):
        start = random.choice([[], *rows])
        rows.append(start + random.choices(range(50), k=random.randint(1, most)))
    return pack(sorted(rows), piece)


def attended(
    packed: Tree,
    key_heads: int,
    last: bool = False,
    dtype: torch.dtype = torch.float32,
    width: int = 16,
) -> tuple[torch.Tensor, torch.Tensor]:
    """At the tokens computed, and node by node in float32."""
    torch.manual_seed(0)
    tokens = len(packed.ids)
    query, key, value = (
        torch.randn(tokens, heads, width).to(dtype) for heads in (4, *[key_heads] * 2)
    )
    both = torch.cat([key, value], 1)
    nodes = Nodes(packed, "cpu", torch.float32)
    only = nodes.last if last else None
    exact = [part.float().transpose(0, 1)[None] for part in (query, key, value)]
    wanted = nodes.attend(exact[0], exact[1], exact[2], 0.3)[0]
    # Twice, as two layers do, the first with other numbers: nothing of them is left.
    attend_along(query + 1, both * 9, nodes, 0.3, None)
    if only is None:
        return attend_along(query, both, nodes, 0.3, None).float(), wanted
    found = attend_along(query[only], both, nodes, 0.3, only).float()
    return found, wanted[only]


@settings(deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.integers(1, 50),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([2, 7, 16, 80]),
)
def test_as_node_by_node(seed: int, most: int, piece: int, key_heads: int, width: int) -> None:
    packed = tree(seed, most, piece)
    for last in (False, True):
        found, wanted = attended(packed, key_heads, last, width=width)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("key_heads", [4, 2])
def test_nodes_longer_than_a_piece(key_heads: int) -> None:
    packed = tree(1, 4 * cpu_attention._PIECE, 1024)
    lengths = [node.end - node.start for node in packed.nodes]
    assert sum(length > 2 * cpu_attention._PIECE for length in lengths) > 2
    torch.testing.assert_close(*attended(packed, key_heads), atol=1e-5, rtol=0)


def test_in_bfloat16_it_differs_by_rounding() -> None:
    found, wanted = attended(tree(2, 200, 256), 2, dtype=torch.bfloat16)
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, atol=0.05, rtol=0)
    assert (found - wanted).std() < 5e-3


def test_memory_is_that_of_a_piece_of_queries() -> None:
    """Not of all pairs of tokens of a long prompt."""
    nodes = Nodes(pack([list(range(5000))]), "cpu", torch.float32)
    query, both = torch.randn(5000, 1, 8), torch.randn(5000, 2, 8)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as made:
        attend_along(query, both, nodes, 1.0, None)
    largest = max(event.self_cpu_memory_usage for event in made.events())
    assert query.nbytes < largest < 4 * 5000 * 200
