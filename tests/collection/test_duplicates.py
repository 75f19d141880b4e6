"""Equal texts and near duplicates are found, other texts are kept."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from selfj_eval.collection.duplicates import (
    EXACT,
    KEPT,
    NEAR,
    THRESHOLD,
    Duplicates,
    find_duplicates,
)
from selfj_eval.collection.signatures import Signatures, read_signatures, signatures
from selfj_eval.errors import DataError

_BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "made_instructions.py"
# Of "What is the capital of France?".
HASHES = [[12501361438015013527, 13499229796819413852]]
BANDS = [15985049565081481566, 13743281474882160760]
SHINGLES = [466908720, 614397896, 1132297956, 1401835116, 1433756498, 2782795644, 3960301295]
LONG = (
    "I run a small bakery and want to sell bread to offices nearby. Write a letter to their "
    "managers that names our prices, our hours, and why a good breakfast helps people to work. "
    "Keep it friendly, and end with an offer to bring a basket for everyone to try."
)


@pytest.fixture(scope="module")
def made() -> Any:
    spec = importlib.util.spec_from_file_location("made_instructions", _BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = sys.modules["made_instructions"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def duplicates(texts: Sequence[str], **options: float) -> Duplicates:
    return find_duplicates(signatures(texts), **options)


def kinds(*texts: str) -> list[int]:
    return duplicates(texts).kind.tolist()


def jaccards(texts: Sequence[str]) -> np.ndarray:
    """Of all pairs, by sets of pairs of neighbouring words, without any hash; shape (n, n)."""
    numbers: dict[tuple[str, str], int] = {}
    rows, columns = [], []
    for row, text in enumerate(texts):
        listed = [word.strip(".?,") for word in text.lower().split()]
        for pair in {*zip(["<", *listed], [*listed, ">"], strict=True)}:
            rows.append(row)
            columns.append(numbers.setdefault(pair, len(numbers)))
    held = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(texts), len(numbers)))
    common = (held @ held.T).toarray()
    sizes = common.diagonal()
    return common / (sizes[:, None] + sizes - common)


@pytest.mark.parametrize(
    "other",
    ["WHAT IS THE CAPITAL OF FRANCE?", "  What is the\n\tcapital of  France? ", "what Is the "
     "capital of france?"],
)  # fmt: skip
def test_case_and_white_space_make_no_other_text(other: str) -> None:
    found = duplicates(["What is the capital of France?", "Who wrote Faust?", other])
    assert found.kind.tolist() == [KEPT, KEPT, EXACT]
    assert found.of.tolist() == [-1, -1, 0]


@pytest.mark.parametrize(
    "other",
    [
        LONG.replace("bread", "cakes"),
        LONG.replace("small ", ""),
        LONG + " Sign it with my name, please.",
        LONG.replace(",", "").replace(".", " ..."),
        f"“{LONG}”",
        LONG.replace("our prices, our hours", "our hours, our prices"),
    ],
)
def test_a_small_change_of_a_long_text_makes_a_near_duplicate(other: str) -> None:
    assert kinds(LONG, other) == [KEPT, NEAR]


def test_one_word_in_twenty() -> None:
    text = "one two three four five six seven eight nine ten " * 2
    parts = [f"{word}{at}" for at, word in enumerate(text.split())]
    for at in range(20):
        assert kinds(" ".join(parts), " ".join([*parts[:at], "other", *parts[at + 1 :]])) == [
            KEPT,
            NEAR,
        ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("Write a function that adds two numbers.", "Write a function that adds two strings."),
        ("How do I sort a list in C?", "How do I sort a list in C++?"),
        ("How do I sort a list in C++?", "How do I sort a list in C#?"),
        ("Does the man bite the dog?", "Does the dog bite the man?"),
        ("Define entropy", "Define enthalpy"),
        ("Add 2 + 2", "Add 2 - 2"),
        ("What is the height of the tallest building in the largest city of the north of France?",
         "What is the height of the tallest building in the largest city of the north of Spain?"),
        (LONG, LONG + " " + " ".join(reversed(LONG.split()))),
    ],
)  # fmt: skip
def test_other_questions_are_kept(one: str, other: str) -> None:
    assert kinds(one, other) == [KEPT, KEPT]


def test_from_seventeen_words_one_changed_word_makes_a_near_duplicate() -> None:
    """What the documentation states of short texts, at its border."""
    for count, wanted in ((16, KEPT), (17, NEAR)):
        parts = [f"word{at}" for at in range(count)]
        assert kinds(" ".join(parts), " ".join([*parts[:-1], "other"])) == [KEPT, wanted]


def test_short_texts_differ_in_words_not_in_a_closing_mark() -> None:
    assert kinds("Define entropy", "Define entropy.", "Define", "???", "!!!", "") == [
        KEPT, NEAR, KEPT, KEPT, KEPT, KEPT,
    ]  # fmt: skip


def test_the_first_is_kept() -> None:
    other = LONG.replace("bread", "cakes")
    for texts in ([LONG, other], [other, LONG]):
        found = duplicates(["Who wrote Faust?", *texts, texts[0].upper()])
        assert found.kind.tolist() == [KEPT, KEPT, NEAR, EXACT]
        assert found.of.tolist() == [-1, -1, 1, 1]


def test_in_a_chain_a_text_goes_only_for_one_that_stays() -> None:
    parts = [f"word{at}" for at in range(30)]
    changed = [" ".join([*(f"other{at}" for at in range(n)), *parts[n:]]) for n in (0, 2, 4)]
    similar = jaccards(changed)
    assert similar[0, 1] >= THRESHOLD and similar[1, 2] >= THRESHOLD > similar[0, 2]
    found = duplicates([*changed, changed[1].upper()])
    assert found.kind.tolist() == [KEPT, NEAR, KEPT, EXACT]
    # The last equals the second, which goes: what stays in its place is the first.
    assert found.of.tolist() == [-1, 0, -1, 0]


@pytest.fixture(scope="module")
def families() -> list[str]:
    """2,000 texts of 10 to 80 words in 400 families, whose members differ in up to 8 words."""
    random = Random(5)
    vocabulary = [f"{a}{b}" for a in "bcdfgklmnprst" for b in ("a", "en", "ing", "os", "ul", "ir")]
    texts = []
    for _ in range(400):
        parts = random.choices(vocabulary, k=random.randint(10, 80))
        for _ in range(5):
            texts.append(" ".join(parts).capitalize() + random.choice("?. "))
            for at in random.sample(range(len(parts)), random.randint(0, 2)):
                parts[at] = random.choice(vocabulary)
    random.shuffle(texts)
    return texts


def test_against_the_similarity_of_all_pairs(families: list[str]) -> None:
    found = duplicates(families)
    similar = jaccards(families)
    # Precision is 1: what goes is similar to what stays in its place, and that is earlier.
    gone = np.flatnonzero(found.kind != KEPT)
    assert (similar[gone, found.of[gone]] >= THRESHOLD).all()
    assert (found.of[gone] < gone).all()
    assert (found.kind[found.of[gone]] == KEPT).all()
    # Recall: how many of the texts that are similar to an earlier kept one are gone.
    kept = found.kind == KEPT
    most = np.tril(similar, -1)[:, kept].max(axis=1)
    for least, below, wanted in ((0.8, 0.85, 0.95), (0.85, 1.01, 0.99)):
        there = (most >= least) & (most < below)
        assert there.sum() > 90
        assert (~kept[there]).mean() >= wanted
    assert kept[most < THRESHOLD].all()


def test_a_higher_threshold_keeps_more(families: list[str]) -> None:
    signed = signatures(families)
    similar = jaccards(families)
    gone = []
    for threshold in (0.75, 0.8, 0.9, 1.0):
        found = find_duplicates(signed, threshold=threshold)
        at = np.flatnonzero(found.kind)
        assert (similar[at, found.of[at]] >= threshold).all()
        gone.append(len(at))
    assert gone == sorted(gone, reverse=True) and gone[0] > gone[-1] > 0
    for threshold in (0.7, 1.1, float("nan")):
        with pytest.raises(ValueError, match="threshold must lie in"):
            find_duplicates(signed, threshold=threshold)


def test_pairs_are_found_among_thousands_of_one_template() -> None:
    """Bands whose rows all fall into the template make one huge group: no pair may drown in it."""
    random = Random(1)
    names = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"]
    template = (
        "Write a short and simple function in Python that takes a list of {} and returns the "
        "number of {} in it, sorted by {} and {} and {}"
    )
    texts = [template.format(*random.choices(names, k=5)) for _ in range(4000)]
    copies = [random.choice(names) + text[5:] for text in texts[:300]]
    similar = jaccards([*texts[:300], *copies])
    planted = similar[np.arange(300), np.arange(300, 600)]
    assert np.median(jaccards(texts[:100])) >= 0.5 and planted.min() >= THRESHOLD
    assert (duplicates([*texts, *copies]).kind[4000:] == NEAR).mean() > 0.98


def signed_in_files(texts: Sequence[str], sizes: Sequence[int], folder: Path) -> list[Path]:
    files, begin = [], 0
    for number, size in enumerate(sizes):
        batch = signatures(texts[begin : begin + size])
        table = pa.table({"instruction": texts[begin : begin + size], **batch.columns()})
        files.append(folder / f"{number}.parquet")
        pq.write_table(table, files[-1], row_group_size=100)
        begin += size
    assert begin == len(texts)
    return files


@pytest.mark.parametrize("sizes", [[600], [1, 0, 299, 300], [60] * 10])
def test_batches_and_files_change_nothing(
    families: list[str], sizes: list[int], tmp_path: Path
) -> None:
    texts = [*families[:597], "", "Ünï\ud800", "\x00"] if sizes == [600] else families[:600]
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    whole = signatures(texts)
    files = signed_in_files(texts, sizes, tmp_path)
    mapped = read_signatures(files, tmp_path / "shingles")
    assert isinstance(mapped.shingles, np.memmap)
    for name in Signatures.__slots__:
        np.testing.assert_array_equal(getattr(mapped, name), getattr(whole, name))
    for one, other in zip(find_duplicates(mapped), find_duplicates(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_signatures_are_the_same_in_another_process() -> None:
    """And with another hash seed: what one run wrote, the next one compares with."""
    code = (
        "import sys; from selfj_eval.collection.signatures import signatures as s; "
        "made = s(['What is the capital of France?', 'Ünïcode “quotes”']);"
        "print(made.hashes.tolist(), made.bands.tolist(), made.shingles.tolist())"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    # Files outlive a release of datasketch: these numbers must never change.
    made = signatures(["What is the capital of France?"])
    assert made.hashes.tolist() == HASHES
    assert made.bands[0, :2].tolist() == BANDS
    assert made.shingles.tolist() == SHINGLES


def test_no_text_and_one(tmp_path: Path) -> None:
    for texts in ([], ["Who wrote Faust?"]):
        found = duplicates(texts)
        assert found.kind.tolist() == [KEPT] * len(texts)
        assert found.of.tolist() == [-1] * len(texts)
    for files in ([], signed_in_files([], [0], tmp_path)):
        assert len(find_duplicates(read_signatures(files, tmp_path / "shingles")).kind) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(), max_size=80), max_size=6), st.randoms())
def test_a_text_is_always_a_duplicate_of_itself(texts: list[str], random: Random) -> None:
    again = [*texts, *random.sample(texts, len(texts))]
    found = duplicates(again)
    assert (found.kind[len(texts) :] == EXACT).all()
    assert (found.of[len(texts) :] < len(texts)).all()
    assert (found.kind[found.of[found.kind != KEPT]] == KEPT).all()


def test_a_file_without_signatures_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"hash": ["x"]}), tmp_path / "old.parquet")
    with pytest.raises(DataError, match=r"old\.parquet, field 'hash': expected .*sign the texts"):
        read_signatures([tmp_path / "old.parquet"], tmp_path / "shingles")
    pq.write_table(pa.table({"instruction": ["x"]}), tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"none\.parquet, field 'hash': is missing"):
        read_signatures([tmp_path / "none.parquet"], tmp_path / "shingles")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match=r"torn\.parquet: is not readable Parquet"):
        read_signatures([tmp_path / "torn.parquet"], tmp_path / "shingles")
    with pytest.raises(DataError, match=r"absent\.parquet: is not there"):
        read_signatures([tmp_path / "absent.parquet"], tmp_path / "shingles")


def test_planted_duplicates_of_the_benchmark_are_found(made: Any) -> None:
    listed = list(made.made_instructions(12_000, seed=3))
    found = duplicates([one.text for one in listed])
    total = {"folded": 0, "near": 0}
    missed = {"folded": 0, "near": 0}
    for at, one in enumerate(listed):
        if one.original is None:
            continue
        assert one.original < at and listed[one.original].original is None
        if one.change in ("exact", "case", "space"):
            total["folded"] += 1
            missed["folded"] += found.kind[at] != EXACT
        elif one.jaccard >= 0.85:
            total["near"] += 1
            missed["near"] += found.kind[at] == KEPT
        elif one.jaccard < THRESHOLD and found.kind[at] == NEAR:
            kept = listed[found.of[at]].text
            assert made.jaccard(one.text, kept) >= THRESHOLD
    assert 0.09 < (total["folded"] + total["near"]) / len(listed) < 0.11
    assert missed["folded"] == 0 and missed["near"] <= 0.01 * total["near"]
    fresh = np.array([one.original is None for one in listed])
    assert (found.kind[fresh] != KEPT).mean() < 0.001


def test_made_instructions_are_those_of_their_seed(made: Any) -> None:
    listed = list(made.made_instructions(5000, seed=1))
    assert list(islice(made.made_instructions(9000, seed=1), 5000)) == listed
    assert list(made.made_instructions(50, seed=2)) != listed[:50]
    lengths = [len(one.text.split()) for one in listed]
    assert 55 < np.mean(lengths) < 65 and np.median(lengths) < 50
    copies = [(one, listed[one.original]) for one in listed if one.original is not None]
    assert {one.change for one, _ in copies} == set(made.CHANGES)
    for one, original in copies:
        assert (one.text == original.text) == (one.change == "exact")
        similar = jaccards([one.text, original.text])[0, 1]
        assert one.jaccard == pytest.approx(similar)
