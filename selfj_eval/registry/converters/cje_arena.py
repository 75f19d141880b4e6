"""Causal judge evaluation: answers to Chatbot Arena prompts, rated by GPT-5."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selfj_eval.registry.converters.fields import field
from selfj_eval.registry.converters.finishing import SetRow, pointwise
from selfj_eval.registry.upstream import UpstreamFile


def oracle(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Ratings from 0 to 1, by the stronger of the two judges; one file for each policy.

    A policy is a model with a system prompt: ``model`` is both.
    """
    rows = (row for file in files for row in _rated(file))
    return pointwise("cje_arena", rows, scale=(0, 1), rater="gpt-5")


def _rated(file: UpstreamFile) -> Iterator[SetRow]:
    for place, row in file.jsonl():
        if row.get("error"):  # The model's server failed: there is no answer.
            continue
        model = field(file, place, row, "model", str).rpartition("/")[2]
        yield {
            "instruction": field(file, place, row, "prompt"),
            "response": field(file, place, row, "response"),
            "rating": field(file, place, row, "metadata", "oracle_label"),
            "model": f"{model}:{field(file, place, row, 'policy')}",
        }
