"""FlexAttention sees what the nodes of a packed row see, and skips the blocks that nothing sees."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import flex_attention

from selfj_eval.engines.local.prefix_tree import Nodes, Tree, pack
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.local.tree_mask import BLOCK, TreeMask, block_mask, continued_until


def prompts(count: int, longest: int, seed: int) -> list[list[int]]:
    """Rows of which some share a beginning, and some of those another one."""
    random = Random(seed)

    def tokens(most: int) -> list[int]:
        return [random.randrange(50) for _ in range(random.randint(1, most))]

    beginnings = [[], tokens(longest), tokens(longest)]
    beginnings.append(beginnings[1] + tokens(longest))
    return sorted(random.choice(beginnings) + tokens(longest) for _ in range(count))


def seen_by_nodes(tree: Tree) -> np.ndarray:
    """Which key each query sees, from the definition of a node."""
    seen = np.zeros((len(tree.ids), len(tree.ids)), bool)
    for node in tree.nodes:
        for query in range(node.start, node.end):
            seen[query, node.start : query + 1] = True
            for start, end in node.before:
                seen[query, start:end] = True
    return seen


TREES = st.builds(
    lambda *values: pack(prompts(*values[:3]), values[3]),
    st.integers(1, 12), st.sampled_from([5, 40, 200]), st.integers(0, 99), st.integers(1, 300),
)  # fmt: skip


@settings(deadline=None)
@given(TREES)
def test_the_mask_is_that_of_the_nodes(tree: Tree) -> None:
    mask = block_mask(continued_until(tree))
    places = torch.arange(len(tree.ids))
    found = mask.mask_mod(0, 0, places[:, None], places[None])
    assert np.array_equal(found.numpy(), seen_by_nodes(tree))


@settings(deadline=None)
@given(TREES)
def test_a_block_is_skipped_only_if_nothing_in_it_is_seen(tree: Tree) -> None:
    mask, seen = block_mask(continued_until(tree)), seen_by_nodes(tree)
    edges = [*range(0, len(tree.ids), BLOCK), len(tree.ids)]
    for at, (top, bottom) in enumerate(pairwise(edges)):
        part = set(mask.kv_indices[0, 0, at, : mask.kv_num_blocks[0, 0, at]].tolist())
        whole = set(mask.full_kv_indices[0, 0, at, : mask.full_kv_num_blocks[0, 0, at]].tolist())
        assert not part & whole
        for key, (left, right) in enumerate(pairwise(edges)):
            own = seen[top:bottom, left:right]
            assert key in part | whole or not own.any()
            assert key not in whole or own.all()


def test_unrelated_prompts_skip_most_blocks() -> None:
    tree = pack([[start, *range(1, 4 * BLOCK)] for start in range(10)])
    mask = block_mask(continued_until(tree))
    blocks = int(mask.kv_num_blocks.sum() + mask.full_kv_num_blocks.sum())
    assert blocks == 10 * (4 + 3 + 2 + 1)


@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize("key_heads", [4, 2])
def test_it_attends_as_the_nodes_do(key_heads: int) -> None:
    tree = pack(prompts(12, 200, 1))
    torch.manual_seed(0)
    query, key, value = (
        torch.randn(1, heads, len(tree.ids), 16) for heads in (4, *[key_heads] * 2)
    )
    mask, nodes = TreeMask(tree), Nodes(tree, "cpu", torch.float32)
    found, wanted = (own.attend(query, key, value, 0.3) for own in (mask, nodes))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert mask.used == nodes.used == 1


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_compiled_it_attends_as_the_nodes_do_in_batches_of_any_size() -> None:
    kernel = torch.compile(flex_attention, dynamic=True, fullgraph=True)
    torch.manual_seed(0)
    for count in (12, 9, 5):
        tree = pack(prompts(count, 200, count))
        query, key, value = (torch.randn(1, heads, len(tree.ids), 16) for heads in (4, 2, 2))
        mask = block_mask(continued_until(tree))
        found = kernel(query, key, value, block_mask=mask, enable_gqa=True)
        wanted = Nodes(tree, "cpu", torch.float32).attend(query, key, value, None)
        torch.testing.assert_close(found.transpose(1, 2), wanted, atol=1e-5, rtol=0)


def test_nodes_one_by_one_are_what_is_left_where_the_kernel_fails(
    tiny_judge: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = TransformersBackend(str(tiny_judge), device="cpu")
    ids = backend._tokenizer.encode("Rate this from 0 to 9, please: five, seven. ")
    rows = sorted([ids, ids + ids[:9]])
    wanted = backend._forward_tree(rows)
    backend._in_one_kernel = True  # which the layers for a CPU do not take
    found = backend._forward_tree(rows)
    assert np.array_equal(found, wanted) and not backend._in_one_kernel
    assert "FlexAttention failed" in caplog.text
