"""Answers that GPT-4 judged one at a time, as FastChat's judge writes it down.

Each line of a judgment file is one judgment. Question, answer, and where the judge was given one
the reference, stand in the prompt that the judge was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from selfj_eval.registry.converters.fields import field
from selfj_eval.registry.converters.finishing import SetRow, pointwise
from selfj_eval.registry.converters.vicuna_questions import read_answers, read_questions
from selfj_eval.registry.upstream import UpstreamFile

SCALE = (1, 10)
PROMPT = re.compile(
    r"\[Question\]\n(?P<instruction>.*?)\n\n"
    r"(?:\[The Start of Reference Answer\]\n(?P<reference>.*?)\n"
    r"\[The End of Reference Answer\]\n\n)?"
    r"\[The Start of Assistant's Answer\]\n(?P<response>.*)\n\[The End of Assistant's Answer\]",
    re.DOTALL,
)
# SelfEval's two models, as the other sets call them.
SELFEVAL_MODELS = {"llama2-7b-chat": "llama-2-7b-chat", "vicuna-7b": "vicuna-7b-v1.3"}


def arena_bench(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Prompts of Chatbot Arena, all with a reference that the judge saw.

    Args:
        files: Of judgments, a model each.
    """
    return pointwise("arena_bench", _arena_bench(files), scale=SCALE, rater="gpt-4")


def mtbench(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """First turns of MT-bench.

    Args:
        files: Its questions, its answers of GPT-4, then files of judgments.
    """
    questions, answers, *judged = files
    categories = {
        field(questions, place, row, "question_id", int): field(
            questions, place, row, "category", str
        )
        for place, row in questions.jsonl()
    }
    references = {
        field(answers, place, row, "question_id", int): _first_turn(answers, place, row)
        for place, row in answers.jsonl()
    }
    rows = _joined(judged, categories, references)
    return pointwise("mtbench", rows, scale=SCALE, rater="gpt-4")


def selfeval_vicuna(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """The Vicuna questions, answered by SelfEval's two models.

    Args:
        files: FairEval's questions and its answers of GPT-4, then files of judgments.
    """
    questions, answers, *judged = files
    categories = {number: item.category for number, item in read_questions(questions).items()}
    references = {number: answer.text for (number, _), answer in read_answers(answers)}
    rows = (
        {**row, "model": SELFEVAL_MODELS.get(row["model"], row["model"])}
        for row in _joined(judged, categories, references)
    )
    return pointwise("selfeval_vicuna", rows, scale=SCALE, rater="gpt-4")


def _arena_bench(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    for file in files:
        for place, row in file.jsonl():
            model = field(file, place, row, "model", str)
            # Some are named with their owner on the model hub, most are not.
            yield {**_judged(file, place, row), "model": model.rpartition("/")[2]}


def _joined(
    files: Sequence[UpstreamFile], categories: Mapping[int, str], references: Mapping[int, str]
) -> Iterator[SetRow]:
    for file in files:
        for place, row in file.jsonl():
            if field(file, place, row, "turn", int) != 1:
                continue
            judge = field(file, place, row, "judge", list)
            number = field(file, place, row, "question_id", int)
            if not judge or not isinstance(judge[0], str):
                raise file.error("expected the judge's name and its prompt's", place, "judge")
            if number not in categories or number not in references:
                raise file.error(f"there is no question {number}", place, "question_id")
            judged = _judged(file, place, row)
            yield {
                **judged,
                "reference": judged["reference"] or references[number],
                "category": categories[number],
                "model": field(file, place, row, "model", str),
                "rater": judge[0],
            }


def _judged(file: UpstreamFile, place: str, row: dict[str, Any]) -> SetRow:
    """Texts and rating; a judgment that failed upstream has no rating on the scale."""
    found = PROMPT.search(field(file, place, row, "user_prompt", str))
    if found is None:
        raise file.error("is not a prompt for a single answer", place, "user_prompt")
    return {
        **found.groupdict(),
        "rating": field(file, place, row, "score", (int, float, type(None))),
    }


def _first_turn(file: UpstreamFile, place: str, row: dict[str, Any]) -> str:
    match field(file, place, row, "choices", list):
        case [{"turns": [str(text), *_]}, *_]:
            return text
    raise file.error("expected a list of answers with turns", place, "choices")
