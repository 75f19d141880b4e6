"""FastChat's MT-bench: answers, references, and the judgments of GPT-4; a record a turn.

The layout of arena-hard's answers until April 2025 is the same, but for turns that are objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, printable
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import Layout, Source
from selfj_eval.records.layouts.companions import base_folder, keyed, named_file, question_file
from selfj_eval.records.raters import GivenRating, mean_of

FAILED = "$ERROR$"
"""What FastChat and arena-hard write where a model gave no answer."""
_NO_ANSWER = f"{FAILED}: the model gave no answer"
_EARLIER = "an earlier turn failed"
_WINNERS = {"model_1": "A", "model_2": "B", "tie": "tie"}

Placed = tuple[str, Mapping[str, Any]]


class _Bench:
    """The folder of a benchmark: its questions, references and answers.

    Args:
        source: What is read.
        inside: The folder that it lies in.
    """

    def __init__(self, source: Source, inside: str) -> None:
        self._source = source
        self._base = base_folder(source, 2, inside)
        self._file = question_file(self._base, source)
        self._questions = keyed(self._file, "question_id")
        self._reference_file = self._find_references()
        known = self._reference_file
        self._references = {} if known is None else keyed(known, "question_id")
        self._answers: dict[str, dict[str, Placed]] = {}

    def _find_references(self) -> Path | None:
        """The file of the answers that the judge is shown: GPT-4's, or the only one."""
        folder = self._base / "reference_answer"
        files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
        file = files[0] if len(files) == 1 else named_file(folder, "gpt-4")
        if files and file is None:
            self._source.notices.say("reference_answer/ has several files, and no gpt-4.jsonl")
        return file

    def turn(self, question: str, turns: list[str], number: int, place: str) -> dict[str, Any]:
        """What a record of a turn needs but its answer: the conversation, reference and category.

        Args:
            question: The question's id.
            turns: The model's answers.
            number: Of the turn, from 0.
            place: Where the answer stands.
        """
        if question not in self._questions:
            message = f"there is no question {question} in {printable(self._file.name)}."
            raise self._source.error(place, "question_id", message)
        where, row = self._questions[question]
        asked = _texts(row.get("turns"), self._file, where, "turns")
        if number >= len(asked):
            message = f"question {question} has {len(asked)} turns, this answer has more."
            raise self._source.error(place, "choices", message)
        messages = [{"role": "user", "content": asked[0]}]
        for k in range(number):
            messages.append({"role": "assistant", "content": turns[k]})
            messages.append({"role": "user", "content": asked[k + 1]})
        return {
            "messages": messages,
            "category": row.get("category"),
            "reference": self._reference(question, row, number),
        }

    def _reference(self, question: str, row: Mapping[str, Any], number: int) -> str | None:
        if question in self._references:
            place, own = self._references[question]
            found = turns_in(own, self._reference_file, place)[0]
        else:
            found = row.get("reference") or []
        text = found[number] if isinstance(found, list) and number < len(found) else None
        return text if isinstance(text, str) and text else None

    def answer(self, model: str, question: str, place: str, field: str) -> list[str]:
        """A model's answers to the turns of a question."""
        if model not in self._answers:
            file = named_file(self._base / "model_answer", model)
            if file is None:
                message = f"the answers of {model!r} are not there (model_answer/{model}.jsonl)."
                raise self._source.error(place, field, message)
            self._answers[model] = keyed(file, "question_id")
        if question not in self._answers[model]:
            message = f"there is no answer of {model!r} to question {question} in model_answer/."
            raise self._source.error(place, "question_id", message)
        where, row = self._answers[model][question]
        return turns_in(row, self._base / "model_answer" / f"{model}.jsonl", where)[0]


def turns_in(row: Mapping[str, Any], path: Path | None, place: str) -> list[list[str]]:
    """The texts of the turns of each choice of an answer.

    Raises:
        DataError: If it is made otherwise.
    """
    choices = row.get("choices")
    if not isinstance(choices, list) or not choices:
        message = "expected a list of objects with 'turns'."
        raise DataError(message, path=path, place=place, field="choices")
    return [
        _texts(choice.get("turns") if isinstance(choice, Mapping) else None, path, place, "choices")
        for choice in choices
    ]


def _texts(turns: Any, path: Path | None, place: str, field: str) -> list[str]:
    turns = turns if isinstance(turns, list) else []
    texts = [turn.get("content") if isinstance(turn, Mapping) else turn for turn in turns]
    found = [text for text in texts if isinstance(text, str)]
    if not found or len(found) < len(texts):
        message = "expected 'turns', a list of texts."
        raise DataError(message, path=path, place=place, field=field)
    return found


def _answer_rows(source: Source) -> Rows:
    bench = _Bench(source, "model_answer")
    for place, row in source.rows:
        question, model = (source.text_in(row, n, place) for n in ("question_id", "model_id"))
        choices = turns_in(row, source.path, place)
        for number, turns in enumerate(choices):
            own = f"{question}-{model}" + (f"-{number}" if len(choices) > 1 else "")
            for k, answer in enumerate(turns):
                where = f"{place}, turn {k + 1}"
                if answer == FAILED:
                    source.left_out(where, _NO_ANSWER)
                    for later in range(k + 1, len(turns)):
                        source.left_out(f"{place}, turn {later + 1}", _EARLIER)
                    break
                about = bench.turn(question, turns, k, place)
                yield where, {"id": f"{own}-{k + 1}", "model": model, "response": answer, **about}


def _old_arena_hard_rows(source: Source) -> Rows:
    bench = _Bench(source, "model_answer")
    for place, row in source.rows:
        question, model = (source.text_in(row, n, place) for n in ("question_id", "model_id"))
        turns = turns_in(row, source.path, place)[0]
        if FAILED in turns:
            source.left_out(place, _NO_ANSWER)
            continue
        last = len(turns) - 1
        about = bench.turn(question, turns, last, place)
        yield place, {"id": question, "model": model, "response": turns[last], **about}


def _single_rows(source: Source) -> Rows:
    """A record per question, model and turn; the ratings of reruns are several ratings."""
    bench = _Bench(source, "model_judgment")
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    failed = set[str]()  # whose conversation holds no answer at an earlier turn
    for place, row, question, turn in _judged(source):
        model = source.text_in(row, "model", place)
        own = f"{question}-{model}-{turn}"
        if own not in found:
            answers = bench.answer(model, question, place, "model")
            record = _record(source, bench, place, question, answers, turn)
            found[own] = (place, {"id": own, "model": model, "raters": [], **record})
            if FAILED in answers[: turn - 1]:
                failed.add(own)
        rating = source.rating(row.get("score"), "score", place)
        if rating is not None and rating < 0:
            source.notices.count("ratings of -1, which are failures of the judge, not used")
        elif rating is not None:
            found[own][1]["raters"].append(GivenRating(_judge(row), rating))
    for own, (place, record) in found.items():
        if own in failed:
            source.left_out(place, _EARLIER)
            continue
        if record["response"] == FAILED:
            source.left_out(place, _NO_ANSWER)
            continue
        if record["raters"]:
            scale = {"rating_min": 1.0, "rating_max": 10.0}
            record |= {"rating": mean_of(record["raters"]), **scale}
            record["raters"] = [one._asdict() for one in record["raters"]]
        yield place, record


def _pair_rows(source: Source) -> Rows:
    """Both orders agree, or it is a tie: FastChat's own rule."""
    bench = _Bench(source, "model_judgment")
    for place, row, question, turn in _judged(source):
        models = [source.text_in(row, name, place) for name in ("model_1", "model_2")]
        won = [_winner(source, row, name, place) for name in ("g1_winner", "g2_winner")]
        if "error" in won:
            source.left_out(place, "one of the two games has no winner (error)")
            continue
        labels = [_WINNERS[winner] for winner in won]
        answers = [bench.answer(model, question, place, "model_1") for model in models]
        sides = [_record(source, bench, place, question, own, turn) for own in answers]
        if FAILED in (sides[0]["response"], sides[1]["response"]):
            source.left_out(place, _NO_ANSWER)
            continue
        if turn > 1:
            source.left_out(place, "a later turn of two conversations that differ before it")
            continue
        yield (
            place,
            {
                **sides[0],
                "id": f"{question}-{models[0]}-{models[1]}-{turn}",
                "response_a": sides[0]["response"],
                "response_b": sides[1]["response"],
                "model_a": models[0],
                "model_b": models[1],
                "label": labels[0] if labels[0] == labels[1] else "tie",
            },
        )


def _judged(source: Source) -> Iterator[tuple[str, Mapping[str, Any], str, int]]:
    """Rows of judgments, with the question and the turn."""
    for place, row in source.rows:
        turn = row.get("turn", 1)
        if isinstance(turn, bool) or not isinstance(turn, int) or turn < 1:
            raise source.error(place, "turn", f"expected 1 or more, got {turn!r:.40}.")
        yield place, row, source.text_in(row, "question_id", place), turn


def _record(
    source: Source, bench: _Bench, place: str, question: str, answers: list[str], turn: int
) -> dict[str, Any]:
    if turn > len(answers):
        raise source.error(place, "turn", f"the model has answered {len(answers)} turns only.")
    about = bench.turn(question, answers, turn - 1, place)
    return {"response": answers[turn - 1], **about}


def _winner(source: Source, row: Mapping[str, Any], name: str, place: str) -> str:
    winner = row.get(name)
    if is_missing(winner):
        return "error"
    if not isinstance(winner, str) or winner not in {*_WINNERS, "error"}:
        message = f"expected model_1, model_2, tie or error, got {winner!r:.40}."
        raise source.error(place, name, message)
    return winner


def _judge(row: Mapping[str, Any]) -> str:
    judge = row.get("judge")
    return str(judge[0] if isinstance(judge, list) and judge else judge)


def _has_objects(row: Mapping[str, Any]) -> bool:
    """Whether turns are objects, as arena-hard had them."""
    try:
        return isinstance(row["choices"][0]["turns"][0], Mapping)
    except (TypeError, KeyError, IndexError):
        return False


FASTCHAT = (
    Layout(
        "mt-bench",
        "answers of MT-bench (FastChat)",
        ("question_id", "choices", "model_id"),
        _answer_rows,
        test=lambda row: not _has_objects(row),
    ),
    Layout(
        "arena-hard-old",
        "answers of arena-hard, as before April 2025",
        ("question_id", "choices", "model_id"),
        _old_arena_hard_rows,
        test=_has_objects,
    ),
    Layout(
        "mt-bench-single",
        "single-answer judgments of MT-bench (FastChat)",
        ("question_id", "model", "judge", "score"),
        _single_rows,
    ),
    Layout(
        "mt-bench-pair",
        "pairwise judgments of MT-bench (FastChat)",
        ("question_id", "g1_winner", "g2_winner"),
        _pair_rows,
        holds="pairs",
    ),
    Layout(
        "mt-bench-questions",
        "questions of MT-bench or arena-hard",
        ("question_id", "turns"),
        refusal="They hold no answers; give a file of model_answer/, below this one.",
    ),
)
