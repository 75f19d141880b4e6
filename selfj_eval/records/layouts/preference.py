"""Pairs of a preferred and a rejected answer: OpenAI, TRL, ShareGPT, RewardBench, arenas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.base import Layout, Source
from selfj_eval.records.layouts.chat import sharegpt_messages, sharegpt_turn
from selfj_eval.records.layouts.conversations import (
    NO_QUESTION,
    answer_of,
    beside,
    checked_messages,
    with_system,
)
from selfj_eval.records.questions import SYSTEMS

_PARTED = (
    "the two conversations differ before the last turn, so they do not answer the same question"
)
_PREFERENCE = (
    *("prompt", "chosen", "rejected", "score_chosen", "score_rejected"),
    *("chosen_model", "rejected_model", "subset"),
)
_WINNERS = {"model_a": "A", "model_b": "B", "tie": "tie", "tie (bothbad)": "tie"}


def _openai_rows(source: Source) -> Rows:
    for number, (place, row) in enumerate(source.rows):
        asked = source.object_in(row, "input", place).get("messages")
        messages = checked_messages(asked, "input.messages", place, source)
        sides = [
            _only_answer(source, row, name, place)
            for name in ("preferred_output", "non_preferred_output")
        ]
        yield from _pair(source, place, {"id": number}, messages, *sides)


def _sharegpt_rows(source: Source) -> Rows:
    read = ("conversations", "chosen", "rejected")
    for number, (place, row) in enumerate(source.known_rows(*read)):
        more, messages = sharegpt_messages(row, place, source)
        sides = []
        for name in ("chosen", "rejected"):
            turn = sharegpt_turn(source.object_in(row, name, place))
            sides += checked_messages([turn], name, place, source)
        own = {"id": number, **source.own_fields(row), **more}
        yield from _pair(source, place, own, messages, *sides)


def _preference_rows(source: Source) -> Rows:
    """TRL's and RewardBench's: the prompt may stand beside the answers, in them, or both."""
    for number, (place, row) in enumerate(source.known_rows(*_PREFERENCE)):
        own = {"id": number, **source.own_fields(row), **beside(row)}
        own |= {"rating_a": row.get("score_chosen"), "rating_b": row.get("score_rejected")}
        own |= {"model_a": row.get("chosen_model"), "model_b": row.get("rejected_model")}
        if isinstance(row.get("subset"), str):
            own["category"] = row["subset"]
        prompt, chosen, rejected = (row.get(name) for name in ("prompt", "chosen", "rejected"))
        if isinstance(chosen, str) and isinstance(rejected, str):
            if isinstance(prompt, list):
                messages = checked_messages(prompt, "prompt", place, source)
                yield from _pair(source, place, own, messages, *map(_said, (chosen, rejected)))
                continue
            asked = source.text_in(row, "prompt", place)
            sides = {"response_a": chosen, "response_b": rejected, "label": "A"}
            yield place, own | {"instruction": asked} | sides
            continue
        first = checked_messages(chosen, "chosen", place, source)
        second = checked_messages(rejected, "rejected", place, source)
        if isinstance(prompt, list):
            messages = checked_messages(prompt, "prompt", place, source)
            if first[: len(messages)] == messages == second[: len(messages)]:
                first, second = first[len(messages) :], second[len(messages) :]
        else:  # implicit, or a text that the conversations begin with
            shared = _shared(first, second)
            messages, first, second = first[:shared], first[shared:], second[shared:]
            if not messages and isinstance(prompt, str):
                messages = [{"role": "user", "content": prompt}]
        if len(first) != 1 or len(second) != 1:
            source.left_out(place, _PARTED)
            continue
        yield from _pair(source, place, own, messages, first[0], second[0])


def _shared(first: list[Any], second: list[Any]) -> int:
    """How many messages two conversations begin with, of those before the last."""
    most = min(len(first), len(second)) - 1
    return next((k for k in range(most) if first[k] != second[k]), most)


def _said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _only_answer(source: Source, row: Mapping[str, Any], name: str, place: str) -> dict[str, Any]:
    found = checked_messages(source.list_in(row, name, place), name, place, source)
    if len(found) != 1:
        message = f"expected one message, got {len(found)}; only the last turn may differ."
        raise source.error(place, name, message)
    return found[0]


def _pair(
    source: Source,
    place: str,
    own: Mapping[str, Any],
    messages: list[dict[str, Any]],
    first: Mapping[str, Any],
    second: Mapping[str, Any],
) -> Rows:
    """The row of a pair, the preferred answer first."""
    if all(message["role"] != "user" for message in messages):
        source.left_out(place, NO_QUESTION)
        return
    _, messages = with_system(own, messages)
    row = {name: value for name, value in own.items() if name not in SYSTEMS}
    row |= {"messages": messages, "label": "A"}
    for side, message in (("a", first), ("b", second)):
        answer = answer_of(message)
        if is_missing(answer["response"]):
            source.left_out(place, answer.get("error", "an answer is null"))
            return
        row[f"response_{side}"] = answer["response"]
    yield place, row


def _arena_rows(source: Source) -> Rows:
    """Votes on two conversations, one row a rater; what comes after the turn is not shown."""
    votes: dict[str, tuple[str, dict[str, Any]]] = {}
    for number, (place, row) in enumerate(source.rows):
        turn, winner = row.get("turn", 1), row.get("winner")
        if isinstance(turn, bool) or not isinstance(turn, int) or turn < 1:
            raise source.error(place, "turn", f"expected 1 or more, got {turn!r:.40}.")
        if not isinstance(winner, str) or winner not in _WINNERS:
            known = ", ".join(_WINNERS)
            raise source.error(place, "winner", f"expected one of {known}, got {winner!r:.40}.")
        models = [str(row.get(name)) for name in ("model_a", "model_b")]
        key = row.get("question_id")
        own = f"{number if key is None else key}-{'-'.join(models)}-{turn}"
        if own not in votes:
            sides = _up_to(source, row, turn, place)
            if sides is None:
                source.left_out(place, "the two conversations differ before the turn judged")
                continue
            pair: dict[str, Any] = {
                "id": own,
                "model_a": models[0],
                "model_b": models[1],
                "raters": [],
            }
            votes[own] = (place, pair | sides)
        rater = str(row.get("judge") or row.get("judge_hash") or "rater")
        votes[own][1]["raters"].append({"rater": rater, "label": _WINNERS[winner]})
    for place, found in votes.values():
        labels = [vote["label"] for vote in found["raters"]]
        lead = labels.count("A") - labels.count("B")
        yield place, found | {"label": "A" if lead > 0 else "B" if lead < 0 else "tie"}


def _up_to(source: Source, row: Mapping[str, Any], turn: int, place: str) -> dict[str, Any] | None:
    """The conversation before the turn that was judged, and both answers there.

    None where the answers are to two different conversations.
    """
    sides = []
    for name in ("conversation_a", "conversation_b"):
        messages = checked_messages(row.get(name), name, place, source)
        at = [k for k, message in enumerate(messages) if message["role"] == "assistant"]
        if len(at) < turn:
            raise source.error(place, name, f"has no turn {turn} of the assistant's.")
        sides.append((messages[: at[turn - 1]], answer_of(messages[at[turn - 1]])))
    (before, one), (other, two) = sides
    if before != other:
        return None
    return {
        "messages": before,
        "response_a": one["response"],
        "response_b": two["response"],
    }


def _are_groups(row: Mapping[str, Any]) -> bool:
    return isinstance(row["chosen"], list) and "num_correct" in row


def _are_pairs(row: Mapping[str, Any]) -> bool:
    return not _are_groups(row)


PREFERENCE = (
    Layout(
        "openai-preference",
        "preference pairs (OpenAI)",
        ("input", "preferred_output", "non_preferred_output"),
        _openai_rows,
        holds="pairs",
    ),
    Layout(
        "sharegpt-preference",
        "preference pairs (ShareGPT)",
        ("conversations", "chosen", "rejected"),
        _sharegpt_rows,
        holds="pairs",
    ),
    Layout(
        "preference",
        "preference pairs (TRL, RewardBench)",
        ("chosen", "rejected"),
        _preference_rows,
        without=("conversations",),
        holds="pairs",
        test=_are_pairs,
    ),
    Layout(
        "reward-bench-2",
        "groups of good and bad answers (RewardBench 2)",
        ("chosen", "rejected", "num_correct"),
        holds="groups",
        test=_are_groups,
        refusal="Give each answer a row of its own, with id, instruction and response.",
    ),
    Layout(
        "arena",
        "votes on pairs of conversations (arena)",
        ("conversation_a", "conversation_b", "winner"),
        _arena_rows,
        holds="pairs",
    ),
)
