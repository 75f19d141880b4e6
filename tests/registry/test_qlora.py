"""QLoRA's reviews find the texts that they are about, and become ratings and pairs."""

from __future__ import annotations

from typing import Any

import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import qlora
from selfj_eval.registry.upstream import UpstreamFile

TEXT = "An oak."
ID = qlora.text_id(TEXT)  # begins with k: after A35, before z4


def generation(text: str) -> dict[str, Any]:
    return {"question_id": 1, "generation": f"{text} cut", "generation_truncated": text}


def answer(model: str, text: str, name: str) -> dict[str, Any]:
    return {"answer_id": name, "question_id": 1, "model_id": f"{model}:20230520", "text": text}


def review(first: str, second: str, score: Any) -> dict[str, Any]:
    return {"question_id": 1, "answer1_id": first, "answer2_id": second, "score": score}


@pytest.fixture
def answers(upstream: Any) -> list[UpstreamFile]:
    """A question, FairEval's reference, and the answers of four models."""
    run = "vicuna-generations-topp0.9-temp0.7.jsonl"
    folder = "eval/generations/vicuna"
    chat = "A chat between a curious human and an artificial intelligence assistant."
    return [
        upstream(
            "questions.jsonl", {"question_id": 1, "text": "Name a tree.", "category": "generic"}
        ),
        upstream("faireval.jsonl", answer("gpt-4", "Oak, or elm.", "r")),
        upstream(f"{folder}/7b-guanaco-{run}", generation(f"{TEXT}{chat} And on.")),
        upstream(f"{folder}/65b-guanaco-{run}", generation(TEXT)),
        upstream(f"{folder}/answer_gpt35.jsonl", answer("gpt-3.5-turbo", "Oak trees.", "A35")),
        upstream(f"{folder}/answer_gpt4.jsonl", answer("gpt-4", "The oak.", "z4")),
    ]


def test_ids_are_those_of_shortuuid() -> None:
    # From its README; the second one from that of 1.0.3, which wrote the digits backwards.
    assert qlora.text_id("example.com") == "exu3DTbj2ncsn9tLdLWspw"
    assert qlora.text_id("http://example.com") == "c8sh5y9hdSMS6zVnrvf53T"[::-1]


def test_ratings_find_the_text_that_gpt_4_saw(upstream: Any, answers: list[UpstreamFile]) -> None:
    ratings = upstream(
        "eval/ratings-gpt4/vicuna/relative-gpt-3.5/a-vs-b.jsonl",
        review("A35", ID, [9, 6]),
        review(ID, "A35", [5, 8]),
        review("z4", "A35", [10, -1]),
        review("A35", "not published", [7, 7]),
    )
    rows = {row["model"]: row for row in qlora.rated([*answers, ratings])}
    # Both Guanacos wrote the same text, once the next chat is cut off: it is the first one's.
    assert {name: (row["response"], row["rating"]) for name, row in rows.items()} == {
        "gpt-3.5-turbo": ("Oak trees.", 8.0),
        "7b-guanaco": ("An oak.", 5.5),
        "gpt-4": ("The oak.", 10.0),
    }
    assert rows["7b-guanaco"]["reference"] == "Oak, or elm."
    assert rows["gpt-4"]["reference"] is None  # the reference is by GPT-4 itself


def pairs(upstream: Any, answers: list[UpstreamFile], *reviews: dict[str, Any]) -> list[Any]:
    verdicts = upstream("eval/ratings-gpt4/vicuna/pairwise/a-vs-b.jsonl", *reviews)
    return list(qlora.pairs([*answers, verdicts]))


@pytest.mark.parametrize(
    ("forth", "back", "label"),
    [(1, 2, "A"), (2, 1, "B"), (1, 1, "tie"), (3, 3, "tie"), (3, 1, "B"), (-1, 2, "A")],
)
def test_verdicts_of_both_orders_are_added_up(
    upstream: Any, answers: list[UpstreamFile], forth: int, back: int, label: str
) -> None:
    (row,) = pairs(upstream, answers, review("A35", ID, forth), review(ID, "A35", back))
    assert (row["response_a"], row["response_b"]) == ("Oak trees.", "An oak.")
    assert (row["label"], row["reference"]) == (label, "Oak, or elm.")


def test_pairs_without_a_verdict_or_a_text_are_left_out(
    upstream: Any, answers: list[UpstreamFile]
) -> None:
    reviews = [review("A35", ID, -1), review("A35", "not published", 1), review("z4", ID, 1)]
    (row,) = pairs(upstream, answers, *reviews)
    assert (row["response_a"], row["label"], row["reference"]) == ("An oak.", "B", None)


@pytest.mark.parametrize("name", ["question_id", "answer1_id", "answer2_id", "score"])
def test_a_missing_field_is_named(upstream: Any, answers: list[UpstreamFile], name: str) -> None:
    good = review("A35", ID, 1)
    broken = {key: value for key, value in good.items() if key != name}
    with pytest.raises(DataError, match=rf"a-vs-b\.jsonl, line 2, field '{name}'"):
        pairs(upstream, answers, good, broken)


def test_a_generation_of_another_layout_is_refused(
    upstream: Any, answers: list[UpstreamFile]
) -> None:
    answers[2] = upstream(answers[2].path, {"question_id": 1, "generation": TEXT})
    with pytest.raises(DataError, match=r"7b-guanaco.*line 1, field 'generation_truncated'"):
        pairs(upstream, answers, review("A35", ID, 1))
