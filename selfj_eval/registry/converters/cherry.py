"""Cherry LLM: two 7B models side by side on five sets, scored by GPT-4 in both orders.

A file of reviews has ``data``, a list of a prompt, ``Answer1`` (the model trained on a chosen 5% of
Alpaca's data), ``Answer2`` (Alpaca), and the scores ``[first, second]`` as a text: ``scores`` in
this order, ``scores_reverse`` with the answers swapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from selfj_eval.files.documents import parse_json
from selfj_eval.registry.converters.fields import field, listed
from selfj_eval.registry.converters.finishing import SetRow, pointwise
from selfj_eval.registry.converters.vicuna_questions import read_answers, read_questions
from selfj_eval.registry.upstream import UpstreamFile

# Each set's name of the prompt; it is upstream's file name, too: NAME_wrap_reviews_gpt4.json.
PROMPTS = {
    "koala": "prompt",
    "lima": "conversations",
    "sinstruct": "instruction",
    "vicuna": "text",
    "wizardlm": "Instruction",
}
MODELS = ("alpaca-7b-cherry-5pct", "alpaca-7b")


def rated(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Both models' answers, a rating being the mean of the two orders.

    Tasks of Self-Instruct with an input are left out: GPT-4 was not shown the input.

    Args:
        files: The tasks of Self-Instruct; the Vicuna questions and GPT-4's answers to them, both
            of FairEval; and the reviews.
    """
    task_file, question_file, answer_file, *reviews = files
    answers = {number: answer.text for (number, _), answer in read_answers(answer_file)}
    references = {
        question.text: answers.get(number)
        for number, question in read_questions(question_file).items()
    }
    rows = (row for file in reviews for row in _rows(file, task_file, references))
    return pointwise("cherry", rows, scale=(1, 10), rater="gpt-4")


def _rows(
    file: UpstreamFile, task_file: UpstreamFile, references: Mapping[str, str | None]
) -> Iterator[SetRow]:
    name = file.path.rsplit("/", 1)[-1].split("_")[0]
    if name not in PROMPTS:
        raise file.error(f"unknown set {name!r}")
    tasks = _tasks(task_file) if name == "sinstruct" else None
    for index, (place, row) in enumerate(listed(file, "data")):
        prompt = field(file, place, row, PROMPTS[name], str)
        reference = references.get(prompt) if name == "vicuna" else None
        if tasks is not None:
            if index >= len(tasks) or tasks[index][0] != prompt:
                raise file.error(f"is not task {index + 1} of {task_file}", place, PROMPTS[name])
            _, text, reference = tasks[index]
            if text:
                continue
        scores = _scores(file, place, row, "scores")
        swapped = _scores(file, place, row, "scores_reverse")
        for number, model in enumerate(MODELS):
            for rating in (scores[number], swapped[1 - number]):
                yield {
                    "instruction": prompt,
                    "response": field(file, place, row, f"Answer{number + 1}", str),
                    "reference": reference,
                    "category": name,
                    "model": model,
                    "rating": rating,
                }


def _tasks(file: UpstreamFile) -> list[tuple[str, str, str]]:
    """Instruction, input and gold output of each task."""
    tasks = []
    for place, row in file.jsonl():
        text, output = (
            field(file, place, row, "instances", 0, n, str) for n in ("input", "output")
        )
        tasks.append((field(file, place, row, "instruction", str), text.strip(), output))
    return tasks


def _scores(file: UpstreamFile, place: str, row: Any, name: str) -> list[float]:
    try:
        scores = parse_json(field(file, place, row, name, str))
    except ValueError:
        scores = None
    if not isinstance(scores, list) or len(scores) != 2:
        raise file.error("expected a text with two scores", place, name)
    return scores
