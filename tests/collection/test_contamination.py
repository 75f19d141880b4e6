"""Evaluation instructions found in collected texts."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfj_eval.collection.contamination import (
    EVALUATION_SETS,
    EvaluationTexts,
    load_evaluation_texts,
)
from selfj_eval.errors import DataError

# Of 29, 15, 8, 6 and 3 words.
LONG = (
    "I run a small bakery at the edge of a village and would like to sell my bread online; "
    "write a plan for the first three months, week by week."
)
MEDIUM = "Write a python function that takes two sorted lists and merges them without any import."
EIGHT = "Name three rivers that cross the Italian Alps."
SIX = "Who invented the pocket umbrella's handle?"
THREE = "Explain quantum tunnelling."
ALL = [LONG, MEDIUM, EIGHT, SIX, THREE]
INDEX = EvaluationTexts(ALL)


def altered(text: str) -> str:
    """With other case, white space and punctuation, and typographic apostrophes."""
    words = text.upper().replace("'", "\u2019").split()
    return "«" + " \n\t".join(word.strip(".,;?") + "..." for word in words) + "»"


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("change", [str, altered, str.lower, lambda text: f"  - {text} !!"])
def test_a_copy_is_found(text: str, change) -> None:
    assert INDEX.found_in(change(text)) == text


@pytest.mark.parametrize("text", [LONG, MEDIUM, EIGHT, SIX])
def test_a_copy_in_a_longer_text_is_found(text: str) -> None:
    before = "Hello. My teacher gave me this, and I do not know where to begin: "
    assert INDEX.found_in(f"{before}{altered(text)} Thanks for every hint.") == text


@pytest.mark.parametrize(
    "text, source",
    [
        # A word changed near the end, the beginning cut off, a part that is long enough.
        (MEDIUM.replace("any import", "extra memory"), MEDIUM),
        (MEDIUM.removeprefix("Write a python "), MEDIUM),
        (LONG.replace("bakery", "brewery"), LONG),
        ("If one would like to sell my bread online: write a plan for the first day", LONG),
    ],
)
def test_a_copy_with_changes_is_found(text: str, source: str) -> None:
    assert INDEX.found_in(text) == source


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?!",
        # Common phrases of the evaluation texts.
        "Write a python function that takes two strings and returns the longer one.",
        "I would like to sell my bread, but where?",
        "Name three rivers that cross the French Alps.",
        "Who invented the pocket watch?",
        "Who invented the umbrella?",
        # So short an instruction is too common in longer texts.
        "Explain quantum tunnelling in semiconductors to a child.",
        "Explain quantum.",
        # The same words in another order.
        "The Italian Alps: name three rivers that cross.",
        " ".join(reversed(MEDIUM.split())),
    ],
)
def test_other_texts_are_not_found(text: str) -> None:
    assert INDEX.found_in(text) is None


SENTENCES = st.text(string.ascii_letters + string.digits + " ,.?!'äß日\n", max_size=60)


@given(st.sampled_from([LONG, MEDIUM, EIGHT, SIX]), SENTENCES, SENTENCES)
@settings(deadline=None)
def test_a_sentence_more_hides_nothing(text: str, before: str, after: str) -> None:
    assert INDEX.found_in(f"{before}. {text} {after}.") is not None


WORDS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30)


@given(st.lists(WORDS, min_size=1, max_size=4), WORDS)
@settings(deadline=None, max_examples=300)
def test_the_index_finds_what_the_rule_says(evaluation: list[list[str]], words: list[str]) -> None:
    def runs(words: list[str], n: int) -> set[tuple[str, ...]]:
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    def contaminates(other: list[str]) -> bool:
        if len(other) < 5:
            return other == words
        n = len(other) if len(other) < 8 else min(13, max(8, -(-2 * len(other) // 3)))
        return bool(runs(other, n) & runs(words, n))

    found = EvaluationTexts(" ".join(other) for other in evaluation).found_in(" ".join(words))
    assert (found is not None) == any(map(contaminates, evaluation))
    assert found is None or contaminates(found.split())


def test_identity_is_that_of_the_texts() -> None:
    same = EvaluationTexts([*reversed(ALL), EIGHT])
    assert same.identity == INDEX.identity
    assert EvaluationTexts(ALL[1:]).identity != INDEX.identity
    assert EvaluationTexts([*ALL[:-1], "Explain quantum tunneling."]).identity != INDEX.identity


def test_no_texts_find_nothing() -> None:
    nothing = EvaluationTexts(["", " ?! "])
    assert nothing.found_in("") is None and nothing.found_in(LONG) is None


def test_named_sets_and_files_are_read(tmp_path: Path) -> None:
    contents = {"alpaca_eval": [LONG], "mtbench": [MEDIUM, MEDIUM], "vicuna": [EIGHT]}
    for name, (pack, file) in EVALUATION_SETS.items():
        (tmp_path / pack).mkdir(exist_ok=True)
        pq.write_table(pa.table({"instruction": contents[name]}), tmp_path / pack / file)
    own = tmp_path / "own.jsonl"
    own.write_text("".join(json.dumps({"instruction": text}) + "\n" for text in (SIX, THREE)))
    index = load_evaluation_texts([*contents, str(own)], str(tmp_path))
    assert index.identity == INDEX.identity
    some = load_evaluation_texts(["mtbench"], str(tmp_path))
    assert some.found_in(MEDIUM) == MEDIUM and some.found_in(LONG) is None


@pytest.mark.parametrize(
    "name, pack",
    [("alpaca_eval", "alpaca_eval"), ("mtbench", "judge_bench"), ("vicuna", "judge_bench")],
)
def test_missing_data_says_how_to_get_it(tmp_path: Path, name: str, pack: str) -> None:
    with pytest.raises(DataError, match=f"selfj data get {pack}"):
        load_evaluation_texts([name], str(tmp_path))


@pytest.mark.parametrize(
    "rows, message",
    [
        (None, "neither a file nor one of alpaca_eval, mtbench, vicuna"),
        ("", "holds no instructions"),
        ('{"instruction": "Sing."}\n{"prompt": "Dance."}\n', "line 2, field 'instruction'"),
        ('{"instruction": [7]}\n', "line 1, field 'instruction': expected text, got list"),
    ],
)
def test_a_file_without_instructions_is_refused(tmp_path: Path, rows, message: str) -> None:
    path = tmp_path / "own.jsonl"
    if rows is not None:
        path.write_text(rows)
    with pytest.raises(DataError, match=message):
        load_evaluation_texts([str(path)])


def test_real_sets_are_found_and_other_instructions_are_not(data: Path) -> None:
    index = load_evaluation_texts(list(EVALUATION_SETS), str(data))
    own: set[str] = set()
    for pack, file in EVALUATION_SETS.values():
        own.update(pq.read_table(data / pack / file)["instruction"].to_pylist())
    assert len(own) > 800
    rng = random.Random(0)
    for text in own:
        assert index.found_in(altered(text)) is not None
        if len(text.split()) > 9:
            # Two thirds of the words are enough, wherever they stand.
            words = text.split()
            cut = rng.randint(0, max(0, len(words) // 3 - 2))
            assert index.found_in("So: " + " ".join(words[cut:])) is not None
    # Questions of another kind: steps of reasoning that people rated.
    others = pq.read_table(data / "judge_bench/pointwise_roscoe_human.parquet")["instruction"]
    distinct = set(others.to_pylist())
    assert len(distinct) > 400
    assert not [text for text in distinct if index.found_in(text)]
