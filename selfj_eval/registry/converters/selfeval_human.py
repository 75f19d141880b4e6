"""SelfEval's pairs: Llama-2-7b-chat against Vicuna-7b, each chosen from by five people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selfj_eval.registry.converters.fields import choice, field
from selfj_eval.registry.converters.finishing import SetRow, pairwise
from selfj_eval.registry.converters.vicuna_questions import read_answers, read_questions
from selfj_eval.registry.converters.xlsx import table
from selfj_eval.registry.upstream import UpstreamFile

_VOTES = {"1": 1, "2": 0}  # for the first answer
JUDGES = tuple(f"judge{number}" for number in range(1, 6))


def pairs(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """The pairs, with what most of the five chose as label.

    Args:
        files: FairEval's questions and its answers of GPT-4, and the sheet with the choices.
    """
    return pairwise("selfeval_human", _rows(files), rater="human")


def _rows(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    question_file, answer_file, sheet = files
    # The sheet's cells are texts.
    categories = {str(n): item.category for n, item in read_questions(question_file).items()}
    references = {str(n): answer.text for (n, _), answer in read_answers(answer_file)}
    for place, row in table(sheet):
        number = field(sheet, place, row, "qid", str)
        if number not in categories or number not in references:
            raise sheet.error(f"there is no question {number}", place, "qid")
        first = sum(choice(sheet, place, row, judge, _VOTES) for judge in JUDGES)
        yield {
            "instruction": field(sheet, place, row, "question", str),
            "response_a": field(sheet, place, row, "answer1", str),
            "response_b": field(sheet, place, row, "answer2", str),
            "reference": references[number],
            "category": categories[number],
            "label": "A" if 2 * first > len(JUDGES) else "B",
        }
