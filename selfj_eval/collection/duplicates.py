"""Which texts were there before: equal ones, and near duplicates.

Two texts are near duplicates if the Jaccard similarity of their shingles (``signatures``) is at
least 0.8. The bands of their MinHash only say which texts to compare; the similarity itself is
computed exactly. So a text never goes because of an estimate; what can happen is that a pair never
meets. The chance that two texts share one of 18 bands of 7 rows is 1 - (1 - J^7)^18: 0.9855 at
J = 0.8, 0.9991 at 0.85, 0.99999 at 0.9; of pairs below the threshold, 0.40 at 0.6, 0.13 at 0.5 and
0.004 at 0.3 are compared in vain.

What that means for texts with one word changed: from 17 words on they are near duplicates, shorter
ones are both kept ("What is the capital of France?" and "... of Spain?"), and so are paraphrases of
any length. Above 16 words, one word or year that makes another question of it goes unnoticed, and
so does a short question after a long passage that was there with another question. A script without
blanks has one word a sentence: there, only equal texts are found.

Who is kept: texts are taken in order, and one goes if it is a duplicate of an earlier one *that is
kept*. In a chain (A like B, B like C, A unlike C) B goes and C stays. So each text that goes has a
similar one that stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfj_eval.collection.signatures import BANDS, Signatures

THRESHOLD = 0.8
KEPT, EXACT, NEAR = 0, 1, 2
# In a band, a text is compared with the first that has the same key and with this many before it.
# All pairs would be quadratic where thousands share a template.
_REACH = 4
_NUMBERS_AT_ONCE = 4_000_000
_PAIRS_AT_ONCE = 1_000_000


class Duplicates(NamedTuple):
    """What becomes of each text.

    Attributes:
        kind: ``KEPT``, ``EXACT`` (equal to an earlier text but for case and white space) or
            ``NEAR``; shape (n,), uint8.
        of: Index of the earlier text that is kept in its place; -1 for a text that is kept. Of
            a text equal to one that is itself a near duplicate, the text that one is near to.
    """

    kind: NDArray[np.uint8]
    of: NDArray[np.int64]


def find_duplicates(signatures: Signatures, *, threshold: float = THRESHOLD) -> Duplicates:
    """Find duplicates among all texts.

    Beside the signatures it takes some 100 bytes of memory a text, and 5 comparisons a band and
    text at most, whatever the texts are. The result depends on the texts and their order alone.

    Args:
        signatures: Of the texts, in the order in which they are kept.
        threshold: Least Jaccard similarity of near duplicates, from 0.75 to 1. Below, the bands
            would miss more than they find.

    Raises:
        ValueError: For a threshold out of its range.
    """
    if not 0.75 <= threshold <= 1:
        raise ValueError(f"threshold must lie in [0.75, 1], got {threshold}.")
    first = _first_equal(signatures.hashes)
    kind = np.where(first < np.arange(len(first)), EXACT, KEPT).astype(np.uint8)
    of = np.where(kind == EXACT, first, -1)
    for later, earlier in _similar_pairs(signatures, kind, threshold):
        if kind[later] == KEPT and kind[earlier] == KEPT:
            kind[later], of[later] = NEAR, earlier
    moved = (kind == EXACT) & (kind[first] == NEAR)
    of[moved] = of[first[moved]]
    return Duplicates(kind, of)


def _first_equal(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Of each text the index of the first with its hash."""
    first = np.arange(len(hashes))
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: equal ones in their order
    ordered = hashes[order]
    starts = _new(ordered[:, 0]) | _new(ordered[:, 1])
    first[order] = order[_group_starts(starts)]
    return first


def _similar_pairs(
    signatures: Signatures, kind: NDArray[np.uint8], threshold: float
) -> Iterator[tuple[int, int]]:
    """Pairs at or above the threshold: the later and the earlier text, ascending."""
    # Of equal texts only the first takes part.
    texts = np.flatnonzero(kind == KEPT)
    found = np.empty(0, np.int64)  # A pair is one number: later * count + earlier.
    count = len(signatures)
    for band in range(BANDS if count else 0):
        pairs = _pairs_of_band(signatures.bands[texts, band], texts, count)
        pairs = np.setdiff1d(pairs, found, assume_unique=True)
        later, earlier = np.divmod(pairs, count)
        found = np.union1d(found, pairs[_similar(signatures, later, earlier, threshold)])
    for begin in range(0, len(found), _PAIRS_AT_ONCE):
        later, earlier = np.divmod(found[begin : begin + _PAIRS_AT_ONCE], count)
        yield from zip(later.tolist(), earlier.tolist(), strict=True)


def _pairs_of_band(
    keys: NDArray[np.uint64], texts: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = _new(keys)
    shared = ~starts | ~np.r_[starts[1:], True]  # Most texts have a key of their own.
    members = texts[order[shared]]
    place = np.arange(len(members))
    start = _group_starts(starts[shared])
    far = place - start > _REACH
    pairs = [members[far] * count + members[start[far]]]
    for step in range(1, _REACH + 1):
        near = place - start >= step
        pairs.append(members[near] * count + members[place[near] - step])
    return np.unique(np.concatenate(pairs))


def _new(ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which values differ from the one before."""
    new = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return new


def _group_starts(starts: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0))


def _similar(
    signatures: Signatures, one: NDArray[np.int64], other: NDArray[np.int64], threshold: float
) -> NDArray[np.bool_]:
    """Which of the pairs reach the threshold, by their whole sets of shingles."""
    offsets = signatures.offsets
    sizes = offsets[one + 1] - offsets[one], offsets[other + 1] - offsets[other]
    similar: NDArray[np.bool_] = np.minimum(*sizes) / np.maximum(*sizes) >= threshold
    worth = np.flatnonzero(similar)  # Of the others, the sizes alone forbid it.
    total = sizes[0] + sizes[1]
    ends = np.cumsum(total[worth])
    begin = 0
    while begin < len(worth):
        done = ends[begin] - total[worth[begin]]
        end = max(int(np.searchsorted(ends, done + _NUMBERS_AT_ONCE)), begin + 1)
        at = worth[begin:end]
        common = _common(signatures, one[at], other[at])
        similar[at] = common / (total[at] - common) >= threshold
        begin = end
    return similar


def _common(
    signatures: Signatures, one: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many shingles the two of each pair share."""
    texts = np.concatenate([one, other])
    begins = signatures.offsets[texts]
    sizes = signatures.offsets[texts + 1] - begins
    before = np.cumsum(sizes) - sizes
    where = np.arange(sizes.sum()) + np.repeat(begins - before, sizes)
    pair = np.repeat(np.tile(np.arange(len(one), dtype=np.uint64), 2), sizes)
    # A shingle stands once in a text, so it is common if it stands twice in a pair.
    tagged = np.sort((pair << np.uint64(32)) | signatures.shingles[where])
    twice = tagged[1:][tagged[1:] == tagged[:-1]] >> np.uint64(32)
    return np.bincount(twice.astype(np.int64), minlength=len(one))
