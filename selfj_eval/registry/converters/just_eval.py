"""Just-Eval: one model's answers, rated by GPT-4 Turbo in five aspects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from statistics import fmean

from selfj_eval.registry.converters.fields import field, listed
from selfj_eval.registry.converters.finishing import SetRow, pointwise
from selfj_eval.registry.upstream import UpstreamFile

_ASPECTS = ("helpfulness", "clarity", "factuality", "depth", "engagement")


def general(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """The general questions; the rating is the mean of the five aspects."""
    rows = (row for file in files for row in _rated(file))
    return pointwise("just_eval", rows, scale=(1, 5), rater="gpt-4-1106-preview")


def _rated(file: UpstreamFile) -> Iterator[SetRow]:
    for place, row in listed(file):
        scores = [field(file, place, row, "parsed_result", name, "score", str) for name in _ASPECTS]
        yield {
            "instruction": field(file, place, row, "input"),
            "response": field(file, place, row, "output_cand"),
            # A score can be "N/A": then the answer has no rating in five aspects.
            "rating": fmean(map(int, scores)) if all(map(str.isdecimal, scores)) else None,
            "model": PurePosixPath(field(file, place, row, "generator_cand", str)).stem,
        }
