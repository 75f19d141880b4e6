"""LLMs from scratch: GPT-4's scores of two small models' answers to short tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selfj_eval.registry.converters.fields import field, listed
from selfj_eval.registry.converters.finishing import SetRow, pointwise
from selfj_eval.registry.upstream import UpstreamFile


def scored(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Scores from 0 to 100, given with the correct answer at hand.

    Args:
        files: The answers, and the scores of the first and of the second model in the same order.
    """
    return pointwise("llms_from_scratch", _rated(*files), scale=(0, 100), rater="gpt-4")


def _rated(answers: UpstreamFile, *scores: UpstreamFile) -> Iterator[SetRow]:
    tasks = list(listed(answers))
    given = [[score for _, score in listed(file)] for file in scores]
    for file, values in zip(scores, given, strict=True):
        if len(values) != len(tasks):
            raise file.error(f"has {len(values)} scores, {answers} has {len(tasks)} rows")
    for index, (place, row) in enumerate(tasks):
        instruction = field(answers, place, row, "instruction", str)
        more = field(answers, place, row, "input", str)
        for number, values in enumerate(given, 1):
            yield {
                "instruction": f"{instruction}\n\n{more}" if more else instruction,
                "response": field(answers, place, row, f"model {number} response"),
                "reference": field(answers, place, row, "output"),
                "rating": values[index],
                "model": f"model-{number}",
            }
