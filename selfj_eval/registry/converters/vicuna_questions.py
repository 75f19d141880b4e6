"""The 80 Vicuna questions, answers to them in FastChat's layout, and the sets made of these alone.

``question.jsonl`` has ``question_id``, ``text``, ``category``; a file of answers has ``answer_id``,
``question_id``, ``model_id``, ``text``; a file of GPT-4's reviews has ``question_id``,
``answer1_id``, ``answer2_id`` and ``score``. QLoRA uses the same layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from selfj_eval.registry.converters.fields import field
from selfj_eval.registry.converters.finishing import SetRow, pairwise, pointwise
from selfj_eval.registry.upstream import UpstreamFile

FAIREVAL_LABELS = {"CHATGPT": "A", "VICUNA13B": "B", "TIE": "tie"}


class Question(NamedTuple):
    """A question and its kind."""

    text: str
    category: str


class ModelAnswer(NamedTuple):
    """What a model answered."""

    model: str
    text: str


def blog(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """The first Vicuna evaluation: GPT-4 scored two answers side by side.

    Args:
        files: FastChat's questions, FairEval's answers of GPT-4, FastChat's answers, its reviews.
    """
    question_file, reference_file, *others = files
    questions = read_questions(question_file)
    references = {number: answer.text for (number, _), answer in read_answers(reference_file)}
    answers = dict(
        pair for file in others if "/answer/" in file.path for pair in read_answers(file)
    )
    reviews = (file for file in others if "/review/" in file.path)
    rows = side_by_side(reviews, questions, answers, references)
    return pointwise("vicuna_blog", rows, scale=(1, 10), rater="gpt-4")


def faireval(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """FairEval's human verdicts on ChatGPT (A) against Vicuna-13B (B).

    Args:
        files: Questions; the answers of ChatGPT, Vicuna and GPT-4; the verdicts, a line a question.
    """
    question_file, *answer_files, verdict_file = files
    questions = read_questions(question_file)
    answers = [
        {number: answer.text for (number, _), answer in read_answers(file)} for file in answer_files
    ]
    return pairwise("faireval", _verdicts(verdict_file, questions, answers), rater="human")


def _verdicts(
    file: UpstreamFile, questions: Mapping[int, Question], answers: Sequence[Mapping[int, str]]
) -> Iterator[SetRow]:
    verdicts = file.text().split()
    if len(verdicts) != len(questions):
        raise file.error(f"expected {len(questions)} verdicts, one a question, got {len(verdicts)}")
    for (number, question), verdict in zip(questions.items(), verdicts, strict=True):
        if verdict not in FAIREVAL_LABELS:
            raise file.error(f"unknown verdict {verdict!r}", f"line {number}")
        a, b, reference = (texts.get(number) for texts in answers)
        yield {
            "instruction": question.text,
            "response_a": a,
            "response_b": b,
            "reference": reference,
            "category": question.category,
            "label": FAIREVAL_LABELS[verdict],
        }


def read_questions(file: UpstreamFile) -> dict[int, Question]:
    """Questions by number, in the order of the file."""
    return {
        field(file, place, row, "question_id", int): Question(
            field(file, place, row, "text", str), field(file, place, row, "category", str)
        )
        for place, row in file.jsonl()
    }


def read_answers(file: UpstreamFile) -> Iterator[tuple[tuple[int, str], ModelAnswer]]:
    """Number of the question and id of the answer, and the answer."""
    for place, row in file.jsonl():
        key = field(file, place, row, "question_id", int), field(file, place, row, "answer_id", str)
        model, text = field(file, place, row, "model_id", str), field(file, place, row, "text", str)
        yield key, ModelAnswer(model, text)


def side_by_side(
    reviews: Iterable[UpstreamFile],
    questions: Mapping[int, Question],
    answers: Mapping[tuple[int, str], ModelAnswer],
    references: Mapping[int, str],
) -> Iterator[SetRow]:
    """A row for each score that an answer got; answers whose text is not there are left out.

    A review that gave no two scores has ``[-1, -1]``, which is off the scale.
    """
    for file in reviews:
        for place, row in file.jsonl():
            number = field(file, place, row, "question_id", int)
            if number not in questions:
                raise file.error(f"question {number} is unknown", place, "question_id")
            scores = field(file, place, row, "score", list)
            if len(scores) != 2:
                raise file.error(f"expected two scores, got {len(scores)}", place, "score")
            for name, score in zip(("answer1_id", "answer2_id"), scores, strict=True):
                answer = answers.get((number, field(file, place, row, name, str)))
                if answer is None:
                    continue
                yield {
                    "instruction": questions[number].text,
                    "category": questions[number].category,
                    "response": answer.text,
                    "reference": references.get(number),
                    "model": answer.model,
                    "rating": score,
                }
