"""Shepherd: people's ratings of answers to tasks of reasoning and reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selfj_eval.registry.converters.fields import field
from selfj_eval.registry.converters.finishing import SetRow, pointwise
from selfj_eval.registry.upstream import UpstreamFile

# "Is the candidate output correct and relevant to the context?"
_RELEVANCE = ("latestLabel", "jsonResponse", "CLASSIFICATION_JOB_1", "categories", 0, "name")


def human(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """One annotator's 1 to 5 for whether the answer is correct and relevant."""
    (file,) = files
    return pointwise("shepherd_human", _rated(file), scale=(1, 5), rater="human")


def _rated(file: UpstreamFile) -> Iterator[SetRow]:
    for place, row in file.jsonl():
        choice = field(file, place, row, *_RELEVANCE, str)
        number = choice.partition("_")[0]  # of, for example, 2_NOT_VERY_RELEVANT
        if not number.isdecimal():
            raise file.error(f"is {choice!r}, without a number", place, "CLASSIFICATION_JOB_1")
        yield {
            "instruction": field(file, place, row, "metadata", "context"),
            "response": field(file, place, row, "metadata", "output_candidate"),
            "reference": field(file, place, row, "metadata", "output_correct"),
            "rating": int(number),
            "category": field(file, place, row, "dataset"),
        }
