"""Single-answer judgments in FastChat's layout become rated answers."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import single_answer
from selfj_eval.registry.upstream import UpstreamFile


def prompt(question: str, answer: str, reference: str | None = None) -> str:
    """What the judge is sent, in FastChat's words."""
    seen = (
        f"[The Start of Reference Answer]\n{reference}\n[The End of Reference Answer]\n\n"
        if reference
        else ""
    )
    return (
        f"[Instruction]\nPlease judge.\n\n[Question]\n{question}\n\n{seen}"
        f"[The Start of Assistant's Answer]\n{answer}\n[The End of Assistant's Answer]"
    )


def judgment(number: int, user_prompt: str, **changes: Any) -> dict[str, Any]:
    """A line of a judgment file."""
    return {
        "question_id": number,
        "model": "small",
        "judge": ["gpt-4", "single-v1"],
        "user_prompt": user_prompt,
        "judgment": "Fine. Rating: [[7]]",
        "score": 7,
        "turn": 1,
    } | changes


def bench(upstream: Any) -> tuple[UpstreamFile, UpstreamFile]:
    """MT-bench's two lists, of two questions."""
    questions = upstream(
        "question.jsonl",
        {"question_id": 81, "category": "writing", "turns": ["Name a tree.", "And another."]},
        {"question_id": 111, "category": "math", "turns": ["6 times 7?"]},
    )
    answers = upstream(
        "gpt-4.jsonl",
        {"question_id": 81, "choices": [{"index": 0, "turns": ["An oak.", "An elm."]}]},
        {"question_id": 111, "choices": [{"index": 0, "turns": ["Forty-two."]}]},
    )
    return questions, answers


def test_arena_bench(upstream: Any) -> None:
    """Question, reference and answer come out of the prompt, with their own blank lines."""
    judged = upstream(
        "Tall-7B.jsonl",
        {
            "question_id": "a1",
            "model": "owner/Tall-7B",
            "user_prompt": prompt("Why?\n\nBriefly.", " Because.\n\nTruly. ", "It is so."),
            "score": 9,
        },
        {
            "question_id": "a2",
            "model": "owner/Tall-7B",
            "user_prompt": prompt("x", "y"),
            "score": None,
        },
    )
    (row,) = single_answer.arena_bench([judged])
    assert row["id"].startswith("arena_bench-")
    assert (row["instruction"], row["response"]) == ("Why?\n\nBriefly.", "Because.\n\nTruly.")
    assert (row["reference"], row["model"], row["rater"]) == ("It is so.", "Tall-7B", "gpt-4")
    assert (row["rating"], row["rating_min"], row["rating_max"]) == (9.0, 1.0, 10.0)


def test_mtbench_takes_first_turns_only(upstream: Any) -> None:
    """What the judge saw as reference goes before GPT-4's answer; a failed judgment is left out."""
    judged = upstream(
        "gpt-4_single.jsonl",
        judgment(81, prompt("Name a tree.", "Birch.")),
        judgment(81, "<|The Start of Assistant A's Conversation with User|>", turn=2),
        judgment(111, prompt("6 times 7?", "41", "42"), judge=["gpt-4", "single-math-v1"], score=1),
        judgment(111, prompt("6 times 7?", "43", "42"), score=-1),
    )
    rows = list(single_answer.mtbench([*bench(upstream), judged]))
    columns = ("category", "instruction", "response", "reference", "rating")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("writing", "Name a tree.", "Birch.", "An oak.", 7.0),
        ("math", "6 times 7?", "41", "42", 1.0),
    ]


def test_mtbench_merges_repeats_of_one_rater(upstream: Any) -> None:
    """Two projects judged the same answer: one row with the mean, another rater's beside it."""
    same = prompt("Name a tree.", "Birch.")
    first = upstream("first.jsonl", judgment(81, same, score=8))
    second = upstream(
        "second.jsonl",
        judgment(81, same, score=9, model="other"),
        judgment(81, same, score=3, judge=["gpt-4-turbo", "single-v1"]),
    )
    rows = list(single_answer.mtbench([*bench(upstream), first, second]))
    assert [(row["model"], row["rater"], row["rating"]) for row in rows] == [
        ("small", "gpt-4", 8.5),
        ("small", "gpt-4-turbo", 3.0),
    ]
    assert rows[0]["id"] != rows[1]["id"]


def test_selfeval_vicuna(upstream: Any) -> None:
    """FairEval's lists give category and reference; the models get their usual names."""
    questions = upstream("q.jsonl", {"question_id": 1, "text": "Tea?", "category": "generic"})
    answers = upstream(
        "a.jsonl", {"question_id": 1, "answer_id": "z", "model_id": "gpt-4", "text": "Yes, please."}
    )
    judged = upstream("j.jsonl", judgment(1, prompt("Tea?", "No."), model="vicuna-7b"))
    (row,) = single_answer.selfeval_vicuna([questions, answers, judged])
    assert (row["source"], row["category"]) == ("selfeval_vicuna", "generic")
    assert (row["model"], row["reference"]) == ("vicuna-7b-v1.3", "Yes, please.")


@pytest.mark.parametrize("name", ["question_id", "model", "judge", "user_prompt", "score", "turn"])
def test_a_missing_field_is_named(upstream: Any, name: str) -> None:
    """With file and line, never as a bare KeyError."""
    good = judgment(81, prompt("Name a tree.", "Birch."))
    bad = {key: value for key, value in good.items() if key != name}
    files = [*bench(upstream), upstream("gpt-4_single.jsonl", good, bad)]
    with pytest.raises(DataError, match=r"gpt-4_single\.jsonl, line 2, .*missing") as caught:
        list(single_answer.mtbench(files))
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"question_id": 5}, "question_id"),
        ({"user_prompt": "Which one is better?"}, "user_prompt"),
        ({"judge": []}, "judge"),
        ({"score": "7"}, "score"),
    ],
)
def test_an_unknown_layout_is_refused(upstream: Any, changes: dict[str, Any], name: str) -> None:
    """Rather than guessed at or skipped."""
    row = judgment(81, prompt("Name a tree.", "Birch.")) | changes
    with pytest.raises(DataError) as caught:
        list(single_answer.mtbench([*bench(upstream), upstream("j.jsonl", row)]))
    assert (caught.value.place, caught.value.field) == ("line 1", name)


def test_answers_without_turns_are_refused(upstream: Any) -> None:
    """The list of GPT-4's answers is checked like the judgments."""
    questions, _ = bench(upstream)
    answers = upstream("gpt-4.jsonl", {"question_id": 81, "choices": [{"turns": []}]})
    with pytest.raises(DataError, match=r"gpt-4\.jsonl, line 1, field 'choices'"):
        list(single_answer.mtbench([questions, answers]))
