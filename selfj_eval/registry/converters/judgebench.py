"""JudgeBench: pairs of answers of which one is correct."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selfj_eval.registry.converters.fields import choice, field
from selfj_eval.registry.converters.finishing import SetRow, pairwise
from selfj_eval.registry.upstream import UpstreamFile

_LABELS = {"A>B": "A", "B>A": "B"}


def correctness(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Pairs with the label of the correct answer; one file for each model that answered."""
    rows = (row for file in files for row in _pairs(file))
    return pairwise("judgebench", rows, rater="ground-truth")


def _pairs(file: UpstreamFile) -> Iterator[SetRow]:
    for place, row in file.jsonl():
        yield {
            "instruction": field(file, place, row, "question"),
            "response_a": field(file, place, row, "response_A"),
            "response_b": field(file, place, row, "response_B"),
            "label": choice(file, place, row, "label", _LABELS),
            "category": field(file, place, row, "source"),
        }
