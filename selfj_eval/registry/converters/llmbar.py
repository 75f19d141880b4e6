"""LLMBar: pairs labelled by its authors, and GPT-4's scores of the single outputs.

Each file is the ``result.json`` of one of GPT-4's evaluations of one subset: the subset's pairs,
with what GPT-4 wrote as ``results``. It lies at ``SUBSET/evaluators/GPT-4/METHOD/result.json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from selfj_eval.registry.converters.fields import choice, field, listed
from selfj_eval.registry.converters.finishing import SetRow, pairwise, pointwise
from selfj_eval.registry.upstream import UpstreamFile

LABELS = {1: "A", 2: "B"}


def rated_with_reference(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Outputs and scores of ``Rating_Reference``: GPT-4 saw the reference that it had written."""
    rows = _ratings(files, reference=0, scores=1)
    return pointwise("llmbar_gpt4", rows, scale=(0, 9), rater="gpt-4")


def rated_without_reference(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Outputs and scores of ``Rating``."""
    rows = _ratings(files, reference=None, scores=0)
    return pointwise("llmbar_gpt4_noref", rows, scale=(0, 9), rater="gpt-4")


def pairs(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """LLMBar's own pairs, with the references of ``Rating_Reference``."""
    return pairwise("llmbar", _pairs(files, reference=0), rater="human")


def processed_pairs(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Older sets that LLMBar cleaned, with the references of ``Metrics_Reference``."""
    return pairwise("llmbar_processed", _pairs(files, reference=1), rater="human")


def _ratings(
    files: Sequence[UpstreamFile], *, reference: int | None, scores: int
) -> Iterator[SetRow]:
    for file in files:
        for place, row in listed(file):
            for number in (1, 2):
                score = _text(file, place, row, "results", scores, f"score_{number}")
                yield {
                    "instruction": field(file, place, row, "input", str),
                    "response": field(file, place, row, f"output_{number}", str),
                    "reference": _reference(file, place, row, reference),
                    "category": _subset(file),
                    # GPT-4 was asked for a digit alone; where it wrote none there is no rating.
                    "rating": int(score) if score.isdecimal() else None,
                }


def _pairs(files: Sequence[UpstreamFile], *, reference: int) -> Iterator[SetRow]:
    for file in files:
        for place, row in listed(file):
            yield {
                "instruction": field(file, place, row, "input", str),
                "response_a": field(file, place, row, "output_1", str),
                "response_b": field(file, place, row, "output_2", str),
                "reference": _reference(file, place, row, reference),
                "category": _subset(file),
                "label": choice(file, place, row, "label", LABELS),
            }


def _reference(file: UpstreamFile, place: str, row: Any, index: int | None) -> str | None:
    if index is None:
        return None
    return _text(file, place, row, "results", index)


def _text(file: UpstreamFile, place: str, row: Any, *path: str | int) -> str:
    """Text of a completion, which is kept as text and reason of its end; empty if filtered."""
    text: str = field(file, place, row, *path, 0, str)
    return text.strip()


def _subset(file: UpstreamFile) -> str:
    """``Natural`` of ``Dataset/LLMBar/Natural/evaluators/GPT-4/Rating/result.json``."""
    folders = file.path.split("/")[:-4]
    if not folders:
        raise file.error("expected a path SUBSET/evaluators/MODEL/METHOD/result.json")
    return folders[-1]
