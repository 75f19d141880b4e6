"""Files of outputs as people have them: every row is used, refused or counted."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.alpaca.evaluation import file_names
from selfj_eval.alpaca.outputs import read_baseline, read_outputs, read_references
from selfj_eval.errors import DataError
from selfj_eval.registry.alpaca_pack import EvaluationSet

TEXTS = ("Sort ascending: 7, 3, 9.", "What is 2 + 3?", "Reverse the word: lamp.", "Name a\ncolour.")
SET = EvaluationSet(TEXTS, (None,) * 4)
Write = Callable[..., Path]


def row(text: str, output: object = "an answer", **more: object) -> dict[str, Any]:
    return {"instruction": text, "output": output, "generator": "tiny", **more}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*rows: object, name: str = "outputs.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(rows))
        return path

    return write


def test_outputs_are_matched_by_the_text_whatever_their_order(write: Write) -> None:
    found = read_outputs(write(*[row(t, t.upper()) for t in reversed(TEXTS)]), SET)
    assert found.model == "tiny"
    assert found.outputs == tuple(t.upper() for t in TEXTS)
    assert (found.missing, found.empty, found.unknown) == (0, 0, 0)


def test_missing_and_unknown_instructions_are_counted(write: Write) -> None:
    rows = [row(TEXTS[2], "pmal"), row("Who?"), row(TEXTS[0], "3, 7, 9"), row(TEXTS[1] + " ")]
    found = read_outputs(write(*rows), SET)
    assert found.outputs == ("3, 7, 9", None, "pmal", None)
    assert (found.missing, found.unknown) == (2, 2)


def test_what_belongs_to_a_question_is_part_of_it_or_of_how_the_model_was_asked(
    write: Write,
) -> None:
    """AlpacaFarm's sets hold the input, AlpacaEval's no system prompt."""
    given = EvaluationSet(("Sort.\n\n7, 3", TEXTS[1]), (None,) * 2)
    rows = [row("Sort.", "3, 7", input="7, 3"), row(TEXTS[1], "5", system="Be brief.")]
    assert read_outputs(write(*rows), given).outputs == ("3, 7", "5")
    rows.append(row(TEXTS[1], "six", system="Be long."))
    with pytest.raises(DataError, match="has an output in another row already"):
        read_outputs(write(*rows), given)


def test_empty_outputs_are_kept_and_counted(write: Write) -> None:
    rows = [row(TEXTS[0], ""), row(TEXTS[1], " \n"), row(TEXTS[2], "x")]
    found = read_outputs(write(*rows), SET)
    assert found.outputs == ("", " \n", "x", None)
    assert (found.empty, found.missing) == (2, 1)
    assert found.average_length == 1  # (0 + 2 + 1) / 3


def test_two_outputs_of_one_instruction_are_refused_with_both_places(write: Write) -> None:
    path = write(row(TEXTS[1]), row(TEXTS[0]), row(TEXTS[1], "another"))
    with pytest.raises(DataError, match="What is 2") as raised:
        read_outputs(path, SET)
    assert raised.value.place == "row 3" and "row 1 already" in str(raised.value)
    assert raised.value.path == str(path)


def test_outputs_of_another_evaluation_set_are_refused(write: Write) -> None:
    path = write(row("Who are you?"), row("Why?"))
    with pytest.raises(DataError, match="is none of the 4 instructions") as raised:
        read_outputs(path, SET)
    assert "Who are you?" in str(raised.value) and "as `baseline`" in str(raised.value)


@pytest.mark.parametrize(
    ("output", "said"),
    [(None, "null"), (7, "int"), (["a"], "list"), ({"text": "a"}, "dict"), ("\ud800", "surrogate")],
)
@pytest.mark.parametrize("read", [lambda path: read_outputs(path, SET), read_baseline])
def test_an_output_that_is_no_text_is_refused_with_its_place(
    write: Write, read: Callable[[Path], object], output: object, said: str
) -> None:
    with pytest.raises(DataError, match=said) as raised:
        read(write(row(TEXTS[0]), row(TEXTS[1], output)))
    assert (raised.value.place, raised.value.field) == ("row 2", "output")


def test_rows_without_an_output_say_what_they_have(write: Write) -> None:
    with pytest.raises(DataError, match="fields here are: instruction, response"):
        read_outputs(write({"instruction": TEXTS[0], "response": "x"}), SET)


@pytest.mark.parametrize("text", [None, "", "  ", True, "\ud800"])
def test_an_instruction_that_is_no_text_is_refused(write: Write, text: Any) -> None:
    with pytest.raises(DataError) as raised:
        read_outputs(write(row(TEXTS[0]), row(text)), SET)
    assert (raised.value.place, raised.value.field) == ("row 2", "instruction")


def test_a_file_of_two_models_is_refused(write: Write) -> None:
    rows = [row(TEXTS[0]), row(TEXTS[1], generator="other")]
    with pytest.raises(DataError, match=r"outputs of 2 models \(other, tiny"):
        read_outputs(write(*rows), SET)


def test_the_name_of_a_model(write: Write) -> None:
    assert read_outputs(write(row(TEXTS[0])), SET, name="mine").model == "mine"
    bare = [{"instruction": text, "output": "x"} for text in TEXTS]
    assert read_outputs(write(*bare, name="llama-x.json"), SET).model == "llama-x"
    assert read_outputs(write(row(TEXTS[0], generator=None), name="n.json"), SET).model == "n"
    assert read_outputs(write(row(TEXTS[0], generator=13)), SET).model == "13"


def test_a_name_that_is_not_valid_text_is_refused(write: Write) -> None:
    with pytest.raises(DataError):
        read_outputs(write(row(TEXTS[0], generator="a\ud800")), SET)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b'[{"instruction": "x", "output": ', "broken JSON"),
        ("a.json", b'{"instruction": "x", "output": "y"}', "expected a JSON array"),
        ("a.json", b'["x"]', "expected a JSON object"),
        ("a.json", b"[]", "holds no outputs"),
        ("a.jsonl", b'{"instruction": "x"\n', "line 1"),
        ("a.json", b"\xff\xfe[\x00", "not UTF-8"),
        ("a.parquet", b"PAR1", "not a readable Parquet file"),
        ("a.txt", b"x", "is not a table"),
    ],
)
@pytest.mark.parametrize("read", [lambda path: read_outputs(path, SET), read_baseline])
def test_a_file_that_is_none_is_refused_with_its_path(
    tmp_path: Path, read: Callable[[Path], object], name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as raised:
        read(path)
    assert raised.value.path == str(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_outputs(tmp_path / "none.json", SET)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_other_formats_hold_the_same(tmp_path: Path, ending: str) -> None:
    rows = [row(text, output) for text, output in zip(TEXTS, ("", "5", "a,b\n", "ü"), strict=True)]
    path = tmp_path / f"outputs.{ending}"
    if ending == "csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    found = read_outputs(path, SET)
    assert found.outputs == ("", "5", "a,b\n", "ü")
    assert (found.model, found.empty) == ("tiny", 1)


def test_a_table_without_a_column_of_outputs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outputs.csv"
    path.write_text(f'instruction,response,generator\n"{TEXTS[0]}",an answer,tiny\n')
    with pytest.raises(DataError, match="output"):
        read_outputs(path, SET)


def test_a_baseline_makes_up_the_evaluation_set(write: Write) -> None:
    rows = [row("B?", "b", dataset="d"), row("A?", ""), row("C?", "c")]
    instructions, baseline = read_baseline(write(*rows))
    assert instructions.instructions == ("B?", "A?", "C?") and len(instructions) == 3
    assert instructions.datasets == ("d", None, None)
    assert baseline.model == "tiny" and baseline.outputs == ("b", "", "c")
    mine = read_outputs(write(row("C?", "x"), row("B?", "y"), name="mine.json"), instructions)
    assert mine.outputs == ("y", None, "x")


def test_a_baseline_with_an_instruction_twice_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match="row 1 already"):
        read_baseline(write(row("A?"), row("A?")))


def test_references_by_instruction(write: Write) -> None:
    rows = [{"instruction": text, "reference": text.lower()} for text in TEXTS]
    assert read_references(write(*rows)) == {text: text.lower() for text in TEXTS}


@pytest.mark.parametrize("reference", [None, "", " \n", 3])
def test_a_reference_that_is_none_is_refused_with_its_place(write: Write, reference: Any) -> None:
    rows = [{"instruction": t, "reference": "r"} for t in TEXTS[:2]]
    rows.append({"instruction": TEXTS[2], "reference": reference})
    with pytest.raises(DataError) as raised:
        read_references(write(*rows))
    assert (raised.value.place, raised.value.field) == ("row 3", "reference")


def test_names_from_data_are_safe_as_file_names() -> None:
    names = [
        "../../x",
        "/etc/passwd",
        "..",
        "a b\nc",
        "CON:x?*",
        ".hidden",
        "m-1.5+lora",
        "ü" * 400,
    ]
    found = file_names(names)
    assert list(found) == names and len(set(found.values())) == len(names)
    for name in found.values():
        assert name and not name.startswith(".") and len(name) <= 150
        assert Path(name).name == name and name.isascii() and name.isprintable()
        assert not set(name) & set(' /\\:*?"<>|')
    assert found["m-1.5+lora"] == "m-1.5+lora"


@pytest.mark.parametrize(
    ("one", "other"),
    [("a/b", "a_b"), ("x" * 200 + "1", "x" * 200 + "2"), ("..a", "a"), ("模型甲", "模型乙")],
)
def test_names_that_only_cleaning_makes_alike_get_files_of_their_own(one: str, other: str) -> None:
    found = file_names([one, "between", other])
    assert len({name.lower() for name in found.values()}) == 3


def test_two_models_that_would_share_a_file_are_refused() -> None:
    with pytest.raises(DataError, match="names that are too similar") as raised:
        file_names(["Llama", "between", "llama"])  # one file where names have no case
    assert "'Llama'" in str(raised.value) and "'llama'" in str(raised.value)
