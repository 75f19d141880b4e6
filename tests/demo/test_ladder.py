"""The quality ladder and the demo judge that was trained on it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from selfj_eval.demo import JUDGE_DIR, TEST_INSTRUCTIONS, demo_records, ladder
from selfj_eval.demo.facts import CATEGORIES
from selfj_eval.demo.ladder import KINDS, split_of
from selfj_eval.demo.rungs import right_parts, write_answer
from selfj_eval.demo.task import with_errors
from selfj_eval.jobs.options import OptionError
from selfj_eval.prompts.labels import digit_token_ids, expected_score
from selfj_eval.prompts.templates import SELF_J, get_template
from selfj_eval.records.record import Record

TEMPLATE = get_template("self-j")


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return demo_records()


def by_instruction(records: list[Record]) -> list[list[Record]]:
    return [records[start : start + 10] for start in range(0, len(records), 10)]


def test_same_arguments_same_ladder() -> None:
    assert ladder("train", instructions=30, seed=5) == ladder("train", instructions=30, seed=5)
    assert ladder("train", instructions=30, seed=5) != ladder("train", instructions=30, seed=6)


def test_smaller_ladder_is_the_beginning_of_a_larger_one() -> None:
    assert ladder("test", instructions=40)[:100] == ladder("test", instructions=10)


def test_another_process_generates_the_same() -> None:
    # String hashes differ from process to process; nothing may depend on them.
    script = (
        "import hashlib, selfj_eval.demo as d; "
        "print(hashlib.sha256(repr(d.demo_records()).encode()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


def test_import_is_light() -> None:
    script = (
        "import sys, selfj_eval.demo; "
        "print([m for m in ('torch', 'transformers', 'numpy', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    seeds=st.tuples(st.integers(-(2**53), 2**53), st.integers(0, 5)),
)
def test_splits_share_no_instruction(sizes: tuple[int, int], seeds: tuple[int, int]) -> None:
    train = ladder("train", instructions=sizes[0], seed=seeds[0])
    test = ladder("test", instructions=sizes[1], seed=seeds[1])
    assert all(split_of(record.instruction) == "train" for record in train)
    assert all(split_of(record.instruction) == "test" for record in test)
    assert len({record.instruction for record in train}) == sizes[0]
    assert len({record.instruction for record in test}) == sizes[1]


def test_large_ladder_has_no_duplicates_and_shares_nothing() -> None:
    train = {record.instruction for record in ladder("train", instructions=3000)}
    test = {record.instruction for record in ladder("test", instructions=1000)}
    assert len(train) == 3000
    assert len(test) == 1000
    assert not train & test


@pytest.mark.parametrize("bad", [0, 10**9])
def test_size_out_of_range(bad: int) -> None:
    with pytest.raises(OptionError, match="`instructions` must lie between 1 and 50,000"):
        ladder("train", instructions=bad)


def test_unknown_split() -> None:
    with pytest.raises(OptionError, match="`split` must be one of train, test"):
        ladder("dev", instructions=1)  # type: ignore[arg-type]


def test_demo_records(records: list[Record]) -> None:
    assert len(records) == TEST_INSTRUCTIONS * 10
    assert len({record.id for record in records}) == len(records)
    assert records[73].id == "ladder-test-0007-3"
    assert Counter(record.category for record in records) == dict.fromkeys(KINDS, 80)
    for rungs in by_instruction(records):
        assert [record.rating for record in rungs] == list(range(10))
        assert len({(record.instruction, record.reference) for record in rungs}) == 1
    for record in records:
        assert (record.rating_min, record.rating_max) == (0.0, 9.0)
        assert record.reference and record.reference.strip()
        assert record.model is None
        assert TEMPLATE.marker_in(record.response) is None
        assert bool(record.response.strip()) or record.rating == 0


def test_perfect_answers_are_rarely_the_reference() -> None:
    perfect = ladder("train", instructions=1000)[9::10]
    assert sum(record.response == record.reference for record in perfect) < 150


def test_right_parts_fall_with_the_rating() -> None:
    for total in range(5, 12):
        counts = [right_parts(total, rating) for rating in (3, 4, 5, 6)]
        assert counts == sorted(set(counts))
        assert counts[0] > 0 and counts[-1] < total


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_tasks_are_sound(kind: str, seed: int) -> None:
    rng = Random(seed)
    task = KINDS[kind](rng)
    total = len(task.values)
    assert task.kind == kind
    assert total >= 5
    assert not task.keys or len(task.keys) == total
    for alternative in task.wrong:
        assert len(alternative) == total
        assert all(a != b for a, b in zip(alternative, task.values, strict=True))
    for rating in (2, 3, 4, 5, 6, 9):
        errors = 0 if rating == 9 else total - (rating > 2 and right_parts(total, rating))
        values = with_errors(task, errors, rng)
        good = {*task.values, *task.spares} if task.spares else None
        right = sum(
            value in good if good else value == expected
            for value, expected in zip(values, task.values, strict=True)
        )
        assert right == total - errors
    perfect = write_answer(task, 9, task, rng)
    found = sum(value.lower() in perfect.lower() for value in (*task.values, *task.spares))
    assert found >= total
    for rating in (7, 8):
        text = write_answer(task, rating, task, rng)
        found = sum(value.lower() in text.lower() for value in (*task.values, *task.spares))
        assert found >= total


def of_kind(kind: str) -> list[Record]:
    """References of several hundred instructions of all kinds, those of one kind."""
    return [r for r in ladder("train", instructions=600, seed=3)[9::10] if r.category == kind]


def test_sums_are_right() -> None:
    for record in of_kind("arithmetic"):
        sums = re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)", record.reference or "")
        assert len(sums) == 5
        for a, sign, b, result in sums:
            expected = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign]
            assert int(result) == expected
            assert f"{a} {sign} {b}" in record.instruction
            assert result in record.response


def test_chains_are_right() -> None:
    work = re.compile(r"(add|subtract|multiply by) (\d+)", re.IGNORECASE)
    for record in of_kind("steps"):
        first = re.search(r"\d+", record.instruction)
        assert first
        number, results = int(first[0]), []
        for verb, by in work.findall(record.instruction):
            number = {"a": number + int(by), "s": number - int(by), "m": number * int(by)}[verb[0]]
            results.append(str(number))
        assert re.findall(r": (-?\d+)", record.reference or "") == results


def test_lists_are_sorted() -> None:
    for record in of_kind("sorting"):
        plain = re.sub(r"^\d+\. ", "", record.reference or "", flags=re.MULTILINE)
        items = re.findall(r"\w+", plain)
        down = "large to small" in record.instruction or "Z to A" in record.instruction
        by = int if items[0].isdigit() else str
        assert items == sorted(items, key=by, reverse=down)
        assert len(items) == 8
        assert all(re.search(rf"\b{item}\b", record.instruction) for item in items)


def test_programs_print_the_reference() -> None:
    for record in of_kind("code"):
        program = re.search(r"^(?:for|\w = )[\s\S]*?print\(.*\)$", record.instruction, re.MULTILINE)
        assert program
        printed: list[str] = []
        exec(program[0], {"print": lambda value, to=printed: to.append(str(value))})
        plain = re.sub(r"^\d+\. ", "", record.reference or "", flags=re.MULTILINE)
        assert re.findall(r"\d+", plain) == printed


def test_tables_hold_the_reference() -> None:
    for record in of_kind("table"):
        header, *rows = [
            line.split(" | ") for line in record.instruction.splitlines() if "|" in line
        ]
        word = re.search(r"the (\w+) of", record.instruction)
        assert word
        cells = {row[0]: row[header.index(word[1])] for row in rows}
        for name, number in re.findall(r"(\w+): (\d+)", record.reference or ""):
            assert cells[name] == number


def test_lists_leave_out_what_is_excluded() -> None:
    members = [item for items in CATEGORIES.values() for item in items]
    assert len(members) == len(set(members))
    for record in of_kind("lists"):
        for text in (record.reference or "", record.response):
            items = [word for word in re.findall(r"\w+", text) if word in members]
            assert len(items) == len(set(items)) >= 5
            assert not any(re.search(rf"\b{item}\b", record.instruction) for item in items)


def test_folder_is_small_and_plain() -> None:
    files = [path for path in JUDGE_DIR.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md"}


@pytest.fixture(scope="module")
def judge():  # type: ignore[no-untyped-def]
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(JUDGE_DIR, local_files_only=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(JUDGE_DIR, local_files_only=True)
    return model.eval(), tokenizer


def test_judge_is_a_plain_float32_llama(judge) -> None:  # type: ignore[no-untyped-def]
    model, tokenizer = judge
    assert type(model).__name__ == "LlamaForCausalLM"
    assert {str(weight.dtype) for weight in model.parameters()} == {"torch.float32"}
    assert model.config.head_dim in (32, 64)
    assert model.config.max_position_embeddings == tokenizer.model_max_length == 1024
    assert tokenizer.pad_token and tokenizer.eos_token


def test_digits_are_single_tokens(judge) -> None:  # type: ignore[no-untyped-def]
    tokenizer = judge[1]
    ids = digit_token_ids(lambda text: tokenizer(text).input_ids, TEMPLATE.probe(), "demo")
    for template in map(get_template, SELF_J):
        context = template.render("2+2 = ?", "4", "It is 4")
        assert digit_token_ids(lambda text: tokenizer(text).input_ids, context, "demo") == ids
    assert len(tokenizer("a1234567890", add_special_tokens=False).input_ids) == 11


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_tokenizer_returns_any_text(judge, text: str) -> None:  # type: ignore[no-untyped-def]
    tokenizer = judge[1]
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("with_reference", [True, False])
def test_judge_agrees_with_the_ladder(judge, records, with_reference) -> None:  # type: ignore[no-untyped-def]
    torch = pytest.importorskip("torch")
    model, tokenizer = judge
    ids = digit_token_ids(lambda text: tokenizer(text).input_ids, TEMPLATE.probe(), "demo")
    prompts = [
        TEMPLATE.render(r.instruction, r.response, r.reference if with_reference else None)
        for r in records
    ]
    sequences = tokenizer(prompts).input_ids
    order = sorted(range(len(records)), key=lambda index: len(sequences[index]))
    log_probabilities = np.empty((len(records), 10))
    for start in range(0, len(order), 40):
        pick = order[start : start + 40]
        longest = len(sequences[pick[-1]])
        padded = [sequences[index] + [0] * (longest - len(sequences[index])) for index in pick]
        last = [len(sequences[index]) - 1 for index in pick]
        with torch.no_grad():
            hidden = model.model(input_ids=torch.tensor(padded)).last_hidden_state
            logits = model.lm_head(hidden[range(len(pick)), last])
        log_probabilities[pick] = torch.log_softmax(logits.double(), -1)[:, ids].numpy()
    score, _, mass = expected_score(log_probabilities)
    assert mass.mean() > 0.95
    assert spearmanr(score, [record.rating for record in records])[0] >= 0.6
