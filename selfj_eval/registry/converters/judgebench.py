"""JudgeBench: pairs of answers of which one is correct."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selfj_eval.registry.converters.fields import pair_rows
from selfj_eval.registry.converters.finishing import SetRow, pairwise
from selfj_eval.registry.upstream import UpstreamFile

_LABELS = {"A>B": "A", "B>A": "B"}


def correctness(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Pairs with the label of the correct answer; one file for each model that answered."""
    columns = {"instruction": "question", "response_a": "response_A", "response_b": "response_B"}
    columns["category"] = "source"
    rows = (row for file in files for row in pair_rows(file, columns, _LABELS))
    return pairwise("judgebench", rows, rater="ground-truth")
