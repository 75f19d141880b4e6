"""Attention along the paths of the tree gives what attention node by node gives."""

from __future__ import annotations

import weakref
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
    fused: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """At the tokens computed, and node by node in float32."""
    torch.manual_seed(0)
    tokens = len(packed.ids)
    query, key, value = (
        torch.randn(heads, tokens, width).to(dtype) for heads in (4, *[key_heads] * 2)
    )
    both = torch.cat([key, value])
    nodes = Nodes(packed, "cpu", torch.float32)
    exact = [part.float()[None] for part in (query, key, value)]
    wanted = nodes.attend(exact[0], exact[1], exact[2], 0.3)[0]
    # Twice, as two layers do, the first with other numbers: nothing of them is left.
    attend_along(query + 1, both * 9, nodes, 0.3, False, fused)
    if last:
        query, wanted = query[:, nodes.last], wanted[nodes.last]
    return attend_along(query, both, nodes, 0.3, last, fused).float(), wanted


@pytest.mark.parametrize("fused", [False, True])
@settings(deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.integers(1, 50),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([2, 7, 16, 80]),
)
def test_as_node_by_node(
    fused: bool, seed: int, most: int, piece: int, key_heads: int, width: int
) -> None:
    packed = tree(seed, most, piece)
    for last in (False, True):
        found, wanted = attended(packed, key_heads, last, width=width, fused=fused)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("key_heads", [4, 2])
def test_nodes_longer_than_a_piece(key_heads: int, fused: bool) -> None:
    packed = tree(1, 4 * cpu_attention._PIECE, 1024)
    lengths = [node.end - node.start for node in packed.nodes]
    assert sum(length > 2 * cpu_attention._PIECE for length in lengths) > 2
    pieces = [piece for node in packed.nodes for piece in cpu_attention._pieces(node)]
    assert max(piece.end - piece.start for piece in pieces) <= 1.5 * cpu_attention._PIECE
    torch.testing.assert_close(*attended(packed, key_heads, fused=fused), atol=1e-5, rtol=0)


@pytest.mark.parametrize("fused", [False, True])
def test_in_bfloat16_it_differs_by_rounding(fused: bool) -> None:
    found, wanted = attended(tree(2, 200, 256), 2, dtype=torch.bfloat16, fused=fused)
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, atol=0.05, rtol=0)
    assert (found - wanted).std() < 5e-3


@pytest.mark.parametrize("fused", [False, True])
def test_memory_is_that_of_a_piece_of_queries(fused: bool) -> None:
    """Not of all pairs of tokens of a long prompt."""
    nodes = Nodes(pack([list(range(5000))]), "cpu", torch.float32)
    query, both = torch.randn(1, 5000, 8), torch.randn(2, 5000, 8)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as made:
        attend_along(query, both, nodes, 1.0, False, fused)
    largest = max(event.self_cpu_memory_usage for event in made.events())
    assert query.nbytes < largest < 4 * (5000 + 200) * 200


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_prompt_that_overflows_spoils_no_other(value: float, fused: bool) -> None:
    """Nor the layers after it: nothing of it is left where others have no keys."""
    torch.manual_seed(0)
    starts = [[own] * 40 for own in range(3)]
    rows = sorted([*starts[n % 3], *[50 + n] * (1 + 5 * n % 23)] for n in range(12))
    packed = pack(rows)
    nodes = Nodes(packed, "cpu", torch.float32)
    query, both = (torch.randn(4, len(packed.ids), 8) for _ in range(2))
    whole = attend_along(query, both, nodes, 1.0, False, fused)
    at_end = attend_along(query[:, nodes.last], both, nodes, 1.0, True, fused)
    for place, last in enumerate(packed.last):
        (own,) = (slice(node.start, node.end) for node in packed.nodes if node.end - 1 == last)
        spoilt_query, spoilt = query.clone(), both.clone()
        spoilt_query[:, own] = spoilt[:, own] = value
        found = attend_along(spoilt_query, spoilt, nodes, 1.0, False, fused)
        assert not found[last].isfinite().any()
        found[own] = whole[own]
        torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)
        torch.testing.assert_close(attend_along(query, both, nodes, 1.0, False, fused), whole)
        found = attend_along(spoilt_query[:, nodes.last], spoilt, nodes, 1.0, True, fused)
        found[place] = at_end[place]
        torch.testing.assert_close(found, at_end, atol=1e-6, rtol=0)


def test_layers_of_other_heads_types_or_kernels_have_a_plan_of_their_own() -> None:
    packed = pack(sorted([*range(n), n + 50] for n in (3, 40, 70)))
    nodes = Nodes(packed, "cpu", torch.float32)
    for heads, key_heads, width, dtype, fused in (
        (4, 2, 8, torch.float32, False),
        (4, 2, 8, torch.bfloat16, False),
        (4, 4, 8, torch.float32, False),
        (2, 2, 8, torch.float32, False),
        (4, 2, 16, torch.float32, False),
        (4, 2, 8, torch.float32, False),
        (4, 2, 8, torch.float32, True),
        (4, 2, 8, torch.float32, False),
    ):
        torch.manual_seed(1)
        query = torch.randn(heads, len(packed.ids), width).to(dtype)
        both = torch.randn(2 * key_heads, len(packed.ids), width).to(dtype)
        key, value = both[None].float().chunk(2, 1)
        wanted = nodes.attend(query[None].float(), key, value, 1.0)[0]
        found = attend_along(query, both, nodes, 1.0, False, fused)
        assert nodes.plan is not None and (nodes.plan[1][0].room is None) is fused
        assert found.dtype is dtype
        atol = 1e-5 if dtype is torch.float32 else 0.05
        torch.testing.assert_close(found.float(), wanted, atol=atol, rtol=0)


def test_layers_share_a_plan_that_ends_with_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    made, plan = list[Nodes](), cpu_attention._plan
    monkeypatch.setattr(
        cpu_attention, "_plan", lambda *given: (made.append(given[0]), plan(*given))[1]
    )
    nodes = Nodes(pack([list(range(300))]), "cpu", torch.float32)
    query, both = torch.randn(2, 300, 8), torch.randn(4, 300, 8)
    for _ in range(3):
        attend_along(query, both, nodes, 1.0, False)
    assert nodes.plan is not None
    first = weakref.ref(nodes.plan[1][0].key)
    attend_along(query[:, nodes.last], both, nodes, 1.0, True)
    assert len(made) == 2 and first() is None
    second = weakref.ref(nodes.plan[1][0].key)
    made.clear()
    del nodes
    assert second() is None


@pytest.mark.parametrize("told", [True, False, None])
def test_amx_is_used_if_torch_tells_of_it(
    told: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As old versions of torch do not."""
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    if told is not None:
        named = {"amx_bf16": told, "amx_tile": True}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: named, raising=False)
    assert cpu_attention.has_amx() is bool(told)
