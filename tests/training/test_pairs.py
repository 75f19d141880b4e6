"""Paired training data: written and read in the released format; faults are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfj_eval.errors import DataError
from selfj_eval.prompts.templates import RESPONSE_WRAPPER, get_template
from selfj_eval.training.pairs import Pair, read_pairs, write_pairs

TEMPLATE = get_template("self-j-unwrapped")
Row = dict[str, object]


def pair(number: int) -> Pair:
    return Pair(f"p{number}", f"Question {number}?", f"Answer {number}", "Reference", number % 10)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Both files of five good pairs."""
    names = tmp_path / "pairs.ref.jsonl", tmp_path / "pairs.noref.jsonl"
    write_pairs(*names, [pair(number) for number in range(5)])
    return names


def test_the_released_format(files: tuple[Path, Path]) -> None:
    first = json.loads(files[0].read_text().splitlines()[0])
    assert first == {
        "id": "p0",
        "instruction": TEMPLATE.render("Question 0?", "Answer 0", "Reference"),
        "input": "",
        "output": "0",
    }
    assert read_pairs(*files) == [
        Pair(p.id, p.instruction, p.response, p.reference, p.label, f"{files[1]}, line {at}")
        for at, p in enumerate(map(pair, range(5)), 1)
    ]


def change(path: Path, line: int, edit: Callable[[Row], object]) -> None:
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    edit(rows[line - 1])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if row))


@pytest.mark.parametrize(
    ("side", "edit", "field", "message"),
    [
        (1, lambda r: r.update(output="10"), "output", "0 to 9"),
        (1, lambda r: r.update(output=-1), "output", "0 to 9"),
        (1, lambda r: r.update(output=True), "output", "0 to 9"),
        (1, lambda r: r.update(output="5"), "output", "one label"),
        (1, lambda r: r.update(id="other"), "id", "not in"),
        (0, lambda r: r.update(id="p4"), "id", "twice"),
        (0, lambda r: r.update(input="x"), "input", "must be empty"),
        (0, lambda r: r.pop("instruction"), "instruction", "missing"),
        (1, lambda r: r.update(instruction="Rate this"), "instruction", "not one of them"),
        (
            0,
            lambda r: r.update(instruction=TEMPLATE.render("Question 2?", "Answer 2")),
            "instruction",
            "the one without",
        ),
        (
            1,
            lambda r: r.update(instruction=r["instruction"] + RESPONSE_WRAPPER),
            "instruction",
            "mixed templates",
        ),
        (
            1,
            lambda r: r.update(instruction=TEMPLATE.render("Question 2?", "  ")),
            "instruction",
            "empty answer",
        ),
        (
            1,
            lambda r: r.update(instruction=TEMPLATE.render("Question 2?", "Another answer")),
            "instruction",
            "do not belong together",
        ),
    ],
)
def test_faults_are_named_by_file_and_line(
    files: tuple[Path, Path], side: int, edit: Callable[[Row], object], field: str, message: str
) -> None:
    change(files[side], 3, edit)
    with pytest.raises(DataError, match=message) as caught:
        read_pairs(*files)
    assert f"line 3, field {field!r}" in str(caught.value) or "line 5" in str(caught.value)
    assert "pairs." in str(caught.value)


def test_an_answer_without_reference_must_be_allowed(files: tuple[Path, Path]) -> None:
    change(files[0], 2, lambda row: row.clear())
    with pytest.raises(DataError, match=r"noref.jsonl, line 2, field 'id'.*`allow_unpaired`"):
        read_pairs(*files)
    found = read_pairs(*files, allow_unpaired=True)
    assert [p.reference for p in found] == ["Reference", None, *["Reference"] * 3]


def test_a_reference_row_alone_is_named(files: tuple[Path, Path]) -> None:
    change(files[1], 2, lambda row: row.clear())
    with pytest.raises(DataError, match=r"ref.jsonl, line 2, field 'id'"):
        read_pairs(*files, allow_unpaired=True)


def test_integers_and_wrapped_prompts_are_read(files: tuple[Path, Path]) -> None:
    def wrap(row: Row) -> None:
        row["output"] = int(str(row["output"]))
        row["instruction"] = f"{row['instruction']}{RESPONSE_WRAPPER}"

    for path in files:
        for line in range(1, 6):
            change(path, line, wrap)
    assert [p.label for p in read_pairs(*files)] == [0, 1, 2, 3, 4]


PIECES = st.sampled_from(
    ["a", "\n\n", "[Question]\n", "\n\n[Answer]\n", "\n\n[Reference]\n", "[Answer]", "{input}"]
)
TEXT = st.lists(PIECES, min_size=1, max_size=6).map("".join)


@given(TEXT, TEXT, TEXT)
def test_prompts_are_made_again_exactly(
    tmp_path_factory: pytest.TempPathFactory, instruction: str, response: str, reference: str
) -> None:
    """Texts may hold the section marks: whatever is read gives the very prompts again."""
    folder = tmp_path_factory.mktemp("pairs")
    files = folder / "a.jsonl", folder / "b.jsonl"
    write_pairs(*files, [Pair("1", instruction, response + "z", reference + "z", 4)])
    (found,) = read_pairs(*files)
    assert TEMPLATE.render(found.instruction, found.response, found.reference) == TEMPLATE.render(
        instruction, response + "z", reference + "z"
    )
    assert TEMPLATE.render(found.instruction, found.response) == TEMPLATE.render(
        instruction, response + "z"
    )
