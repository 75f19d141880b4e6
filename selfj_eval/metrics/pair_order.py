"""Which pairs of records two columns order alike, counted in O(n log n)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int64]


class _Pass(NamedTuple):
    """Cells of lower and of higher codes, and which of the lower ones lie before each higher one.

    Attributes:
        lower: Shape (l,). Cells, by node and level.
        higher: Shape (h,). Cells.
        first, before: Shape (h,). The lower cells of the same node and a lower level are
            ``lower[first:before]``.
    """

    lower: Indices
    higher: Indices
    first: Indices
    before: Indices


class PairOrder:
    """Counts concordant pairs of weighted cells, which are sorted once.

    Codes are halved again and again: a pair with different codes belongs to one halving alone, in
    which one cell is in the lower half of a node and the other in its upper half. There, the
    weights of the lower ones, summed up in the order of levels, say how many of them each upper one
    is concordant with. With k codes this takes log2(k) passes, whatever the levels.
    """

    def __init__(self, passes: list[_Pass]) -> None:
        self._passes = passes

    @classmethod
    def of(cls, first: Indices, second: Indices) -> PairOrder:
        """From the numbers of the score and of the rating of each cell, shape (c,)."""
        level, code = first, second
        if first.max(initial=0) < second.max(initial=0):
            level, code = second, first
        passes = []
        for bit in reversed(range(int(code.max(initial=0)).bit_length())):
            node = code >> (bit + 1)
            order = np.lexsort((level, node))
            higher = (code[order] >> bit & 1).astype(bool)
            new_node = np.diff(node[order], prepend=-1) != 0
            new_level = new_node | (np.diff(level[order], prepend=-1) != 0)
            lower_before = np.cumsum(~higher) - ~higher
            node_first, level_first = (
                lower_before[np.flatnonzero(new)][np.cumsum(new) - 1]
                for new in (new_node, new_level)
            )
            found = higher & (level_first > node_first)
            passes.append(
                _Pass(order[~higher], order[found], node_first[found], level_first[found])
            )
        return cls(passes)

    def concordant(self, w: Counts) -> int:
        """Pairs that both order alike, of cells with weights w, shape (c,)."""
        total = 0
        for lower, higher, first, before in self._passes:
            sums = running(w[lower])
            total += int(w[higher] @ (sums[before] - sums[first]))
        return total

    def partners(self, cells: int) -> Counts:
        """How many of the cells each one is concordant with, shape (cells,), all weights 1.

        Args:
            cells: c.
        """
        found = np.zeros(cells, dtype=np.int64)
        for lower, higher, first, before in self._passes:
            found[higher] += before - first
            # A lower cell has those higher ones whose range of lower cells it lies in.
            begun, ended = (np.bincount(ends, minlength=len(lower) + 1) for ends in (first, before))
            found[lower] += np.cumsum(begun - ended)[:-1]
        return found


def running(values: Counts) -> Counts:
    """The sums of the first 0, 1, ..., k values, shape (k + 1,)."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
