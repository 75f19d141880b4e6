"""QLoRA: answers to the Vicuna questions, judged by GPT-4 side by side.

Reviews name answers by an id that is a hash of the text GPT-4 saw, so that the texts can be found
among the generations; ratings whose text is not published are left out.
"""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterator, Sequence

from selfj_eval.registry.converters.fields import field
from selfj_eval.registry.converters.finishing import SetRow, pairwise, pointwise
from selfj_eval.registry.converters.vicuna_questions import (
    ModelAnswer,
    read_answers,
    read_questions,
    side_by_side,
)
from selfj_eval.registry.upstream import UpstreamFile

GENERATIONS = "-vicuna-generations-topp0.9-temp0.7"
# Upstream cut off, before judging, where a model began to write the next conversation.
NEXT_CHAT = "A chat between a curious human and an artificial intelligence"
REFERENCE = "gpt-4"
VERDICTS = {1: 1, 2: -1, 3: 0}  # first better, second better, equal
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def rated(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Scores beside GPT-3.5's answer, in both orders.

    Args:
        files: Questions, FairEval's answers of GPT-4, the answers, and the reviews.
    """
    question_file, reference_file, *others = files
    references = {number: answer.text for (number, _), answer in read_answers(reference_file)}
    rows = side_by_side(
        _reviews(others), read_questions(question_file), _answers(others), references
    )
    # The reference is GPT-4's, too: none beside GPT-4's own answers.
    rows = ({**row, "reference": None} if row["model"] == REFERENCE else row for row in rows)
    return pointwise("qlora_vicuna", rows, scale=(1, 10), rater="gpt-4")


def pairs(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Verdicts on pairs, those of both orders added up: opposite ones are a tie.

    Which answer is A does not follow from the models: it is the one whose id sorts first.

    Args:
        files: As for ``rated``.
    """
    question_file, reference_file, *others = files
    questions, answers = read_questions(question_file), _answers(others)
    references = {number: answer.text for (number, _), answer in read_answers(reference_file)}
    rows = (
        {
            "instruction": questions[number].text,
            "category": questions[number].category,
            "response_a": a.text,
            "response_b": b.text,
            "reference": None if REFERENCE in (a.model, b.model) else references.get(number),
            "label": "A" if lead > 0 else "B" if lead < 0 else "tie",
        }
        for (number, *ids), lead in _leads(others, questions).items()
        if (a := answers.get((number, ids[0]))) and (b := answers.get((number, ids[1])))
    )
    return pairwise("qlora_gpt4_pairs", rows, rater="gpt-4")


def _leads(
    files: Sequence[UpstreamFile], questions: Container[int]
) -> dict[tuple[int, str, str], int]:
    """Verdicts for the answer whose id sorts first, less those against it, by question and ids."""
    leads: dict[tuple[int, str, str], int] = {}
    for file in _reviews(files):
        for place, row in file.jsonl():
            number = field(file, place, row, "question_id", int)
            if number not in questions:
                raise file.error(f"question {number} is unknown", place, "question_id")
            first, second = (field(file, place, row, f"answer{n}_id", str) for n in (1, 2))
            verdict = field(file, place, row, "score", int)
            if verdict not in VERDICTS:
                continue  # GPT-4 gave none: -1
            lead = VERDICTS[verdict] if first < second else -VERDICTS[verdict]
            key = (number, min(first, second), max(first, second))
            leads[key] = leads.get(key, 0) + lead
    return leads


def _reviews(files: Sequence[UpstreamFile]) -> list[UpstreamFile]:
    return [file for file in files if "/ratings-gpt4/" in file.path]


def _answers(files: Sequence[UpstreamFile]) -> dict[tuple[int, str], ModelAnswer]:
    """Answers by question and id; a text that several models wrote is the first one's."""
    answers: dict[tuple[int, str], ModelAnswer] = {}
    for file in files:
        if "/generations/" in file.path:
            read = _generations(file) if GENERATIONS in file.path else _named(file)
            for key, answer in read:
                answers.setdefault(key, answer)
    return answers


def _named(file: UpstreamFile) -> Iterator[tuple[tuple[int, str], ModelAnswer]]:
    for key, answer in read_answers(file):
        yield key, ModelAnswer(answer.model.split(":")[0], answer.text)  # gpt-4:20230520


def _generations(file: UpstreamFile) -> Iterator[tuple[tuple[int, str], ModelAnswer]]:
    model = file.path.rsplit("/", 1)[-1].removesuffix(".jsonl").replace(GENERATIONS, "")
    for place, row in file.jsonl():
        text = field(file, place, row, "generation_truncated", str).split(NEXT_CHAT)[0]
        yield (field(file, place, row, "question_id", int), text_id(text)), ModelAnswer(model, text)


def text_id(text: str) -> str:
    """Upstream's id of a text: its version 5 UUID (RFC 4122) in base 57, as shortuuid writes it."""
    is_url = text.lower().startswith(("http://", "https://"))
    number = uuid.uuid5(uuid.NAMESPACE_URL if is_url else uuid.NAMESPACE_DNS, text).int
    digits = []
    for _ in range(22):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
