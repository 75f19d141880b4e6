"""FLASK: six models' answers beside gold answers, without ratings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from selfj_eval.registry.converters.fields import field
from selfj_eval.registry.converters.finishing import SetRow, row_id
from selfj_eval.registry.upstream import UpstreamFile


def responses(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Answers to be labelled. Questions that a model did not answer are left out for it.

    Exact repeats of (instruction, response, model) are left out too.

    Args:
        files: The questions with gold answers, then one file of answers for each model, which is
            named after it.
    """
    questions, *outputs = files
    answers = {PurePosixPath(file.path).stem: _answers(file) for file in outputs}
    seen = set()
    for place, question in questions.jsonl():
        number = field(questions, place, question, "idx", int)
        instruction = field(questions, place, question, "instruction", str).strip()
        for model, given in answers.items():
            response = given.get(number, "")
            if not (instruction and response) or (instruction, response, model) in seen:
                continue
            seen.add((instruction, response, model))
            yield {
                "id": row_id("flask_responses", instruction, response, model),
                "source": "flask_responses",
                "category": field(questions, place, question, "task"),
                "instruction": instruction,
                "response": response,
                "reference": field(questions, place, question, "answer", str).strip() or None,
                "model": model,
                "rating": None,
                "rating_min": None,
                "rating_max": None,
                "rater": None,
            }


def _answers(file: UpstreamFile) -> dict[Any, str]:
    return {
        field(file, place, row, "question_id", int): field(file, place, row, "text", str).strip()
        for place, row in file.jsonl()
    }
