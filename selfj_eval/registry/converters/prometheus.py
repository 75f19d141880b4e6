"""Prometheus' evaluation on the Vicuna questions: three scores of GPT-4, each with a rubric.

Task, answer, reference and rubric stand in the one prompt that GPT-4 was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from selfj_eval.registry.converters.fields import field, listed
from selfj_eval.registry.converters.finishing import SetRow, pointwise
from selfj_eval.registry.upstream import UpstreamFile

SOURCE = "prometheus_vicuna"
RATER = "gpt-4"
# Upstream's short names, and the models behind them.
MODELS = {
    "chat_gpt": "chatgpt",
    "llama-2-chat": "llama-2-13b-chat",
    "vicuna": "vicuna-13b",
    "wizard": "wizardlm-13b",
}
PROMPT = re.compile(
    r"###The instruction to evaluate:\n(?P<instruction>.*?)\n\n"
    r"###Response to evaluate:\n(?P<response>.*)\n\n"
    r"###Reference Answer \(Score 5\):\n(?P<reference>.*)\n\n"
    r"###Score Rubrics:\n(?P<rubric>.*)\n\n"
    r"###Feedback:",
    re.DOTALL,
)


def vicuna(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """The rated answers; a rating is the mean of GPT-4's three."""
    return pointwise(SOURCE, _rows(files), scale=(1, 5), rater=RATER)


def rubrics(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """The rubric that each of the rated answers was judged by, by the answer's id."""
    by_texts: dict[tuple[str, str], str] = {}
    for row in _rows(files):
        by_texts.setdefault((row["instruction"].strip(), row["response"].strip()), row["rubric"])
    for finished in vicuna(files):
        rubric = by_texts[finished["instruction"], finished["response"]]
        yield {"id": finished["id"], "source": SOURCE, "rubric": rubric.strip()}


def _rows(files: Sequence[UpstreamFile]) -> Iterator[dict[str, Any]]:
    for file in files:
        for place, row in listed(file):
            prompt = PROMPT.search(field(file, place, row, "instruction", str))
            if prompt is None:
                raise file.error("is not a prompt of Prometheus", place, "instruction")
            scores = field(file, place, row, "gpt4_score", list)
            if not scores or not all(isinstance(score, int | float) for score in scores):
                raise file.error("expected GPT-4's scores", place, "gpt4_score")
            model = field(file, place, row, "response_source", str)
            yield {
                **prompt.groupdict(),
                "rating": fmean(scores),
                "model": MODELS.get(model, model),
                "category": field(file, place, row, "category", str),
            }
