"""arena-hard: answers, and the two games of each that a judge has judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import Layout, Source
from selfj_eval.records.layouts.companions import base_folder, keyed, named_file, question_file
from selfj_eval.records.layouts.conversations import checked_messages, judged_turns
from selfj_eval.records.layouts.fastchat import FAILED

_VERDICTS = {"A>>B": "A", "A>B": "A", "A=B": "tie", "B=A": "tie", "B>A": "B", "B>>A": "B"}


def _answer_rows(source: Source) -> Rows:
    base = base_folder(source, 2, "model_answer")
    questions = keyed(question_file(base, source), "uid")
    for place, row in source.rows:
        own, model = source.text_in(row, "uid", place), source.text_in(row, "model", place)
        messages = _messages(row, place, source)
        if (why := _failure(messages)) is not None:
            source.left_out(place, why)
            continue
        record = {"id": own, "model": model, "category": _category(questions, own, place, source)}
        yield from judged_turns(source, place, record, messages)


def _messages(row: Mapping[str, Any], place: str, source: Source) -> list[dict[str, Any]]:
    """The conversation; an answer is the text in its object."""
    messages = []
    for message in source.list_in(row, "messages", place):
        content = message.get("content") if isinstance(message, Mapping) else None
        if isinstance(content, Mapping):
            message = {**message, "content": content.get("answer")}
        messages.append(message)
    return checked_messages(messages, "messages", place, source)


def _failure(messages: list[dict[str, Any]]) -> str | None:
    """Why the last message is no answer; None where it is one."""
    answer = messages[-1].get("content")
    if answer == FAILED:
        return f"{FAILED}: the model gave no answer"
    return "the model gave no answer (null)" if is_missing(answer) else None


def _category(questions: Mapping[str, Any], own: str, place: str, source: Source) -> Any:
    if own not in questions:
        message = f"there is no question {own!r} in question.jsonl."
        raise source.error(place, "uid", message)
    return questions[own][1].get("category")


def _judgment_rows(source: Source) -> Rows:
    """A pair a game: the first shows the baseline as A, the second the model."""
    base = base_folder(source, 3, "model_judgment")
    answers: dict[str, Mapping[str, Any]] = {}
    for place, row in source.rows:
        own, model, baseline = (
            source.text_in(row, name, place) for name in ("uid", "model", "baseline")
        )
        games = source.list_in(row, "games", place)
        verdicts = [_verdict(game, place, source) for game in games]
        if not any(verdicts):
            source.left_out(place, "no verdict in any game (score or game null)")
            continue
        for name in (model, baseline):
            if name not in answers:
                file = named_file(base / "model_answer", name)
                if file is None:
                    message = f"the answers of {name!r} are not there (model_answer/{name}.jsonl)."
                    raise source.error(place, "model", message)
                answers[name] = keyed(file, "uid")
        for number, verdict in enumerate(verdicts, 1):
            if verdict is None:
                source.left_out(f"{place}, game {number}", "no verdict (score or game null)")
                continue
            sides = (baseline, model) if number % 2 else (model, baseline)
            found = [_answered(answers[name], own, name, source, place) for name in sides]
            if why := _failure(found[0]) or _failure(found[1]):
                source.left_out(f"{place}, game {number}", why)
                continue
            yield (
                place,
                {
                    "id": f"{own}-{model}-{number}",
                    "messages": found[0][:-1],
                    "response_a": found[0][-1]["content"],
                    "response_b": found[1][-1]["content"],
                    "model_a": sides[0],
                    "model_b": sides[1],
                    "label": _VERDICTS[verdict],
                    "verdict": verdict,
                    "category": row.get("category"),
                },
            )


def _verdict(game: Any, place: str, source: Source) -> str | None:
    score = game.get("score") if isinstance(game, Mapping) else None
    if is_missing(score):
        return None
    if not isinstance(score, str) or score not in _VERDICTS:
        known = ", ".join(_VERDICTS)
        raise source.error(place, "games", f"expected one of {known} as score, got {score!r:.40}.")
    return score


def _answered(
    answers: Mapping[str, Any], own: str, model: str, source: Source, place: str
) -> list[dict[str, Any]]:
    if own not in answers:
        raise source.error(place, "uid", f"there is no answer of {model!r} to {own!r}.")
    where, row = answers[own]
    try:
        return _messages(row, where, source)
    except DataError as error:
        message = f"the answer of {model!r}: {error.message}"
        raise source.error(place, "uid", message) from error


ARENA_HARD = (
    Layout(
        "arena-hard",
        "answers of arena-hard",
        ("uid", "ans_id", "messages"),
        _answer_rows,
    ),
    Layout(
        "arena-hard-judgments",
        "judgments of arena-hard",
        ("uid", "games", "baseline"),
        _judgment_rows,
        holds="pairs",
    ),
    Layout(
        "arena-hard-questions",
        "questions of arena-hard",
        ("uid", "prompt", "category"),
        without=("messages", "games", "response", "answer", "output", "completion"),
        refusal="They hold no answers; give a file of model_answer/, below this one.",
    ),
)
