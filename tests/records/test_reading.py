from __future__ import annotations

import csv
import gzip
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from selfj_eval import DataError, Record, read_records, write_records
from selfj_eval.errors import StoreError
from selfj_eval.files.atomic import check_output
from selfj_eval.records.notices import Notices
from selfj_eval.storage.store import JudgmentStore

GOOD = {"id": "a", "instruction": "Say hi.", "response": "hi"}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
filled = texts.filter(lambda text: bool(text.strip()))
optional = st.none() | filled
records = st.lists(
    st.builds(
        Record,
        id=filled,
        instruction=filled,
        response=texts,
        reference=optional,
        rating=st.none() | st.floats(1, 10),
        rating_min=st.just(1.0),
        rating_max=st.just(10.0),
        model=optional,
        category=optional,
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda record: record.id,
)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(records)
def test_records_survive_writing_and_reading(
    tmp_path: Path, suffix: str, rows: list[Record]
) -> None:
    path = tmp_path / f"records{suffix}"
    write_records(path, rows)
    assert read_records(path) == rows


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(records)
def test_csv_round_trip(tmp_path: Path, rows: list[Record]) -> None:
    # CSV cannot tell a missing text from an empty one, nor hold a NUL or a bare CR reliably.
    texts = [
        text
        for row in rows
        for text in (row.id, row.instruction, row.response, row.reference, row.model, row.category)
    ]
    assume(not any({"\0", "\r"} & set(text or "") for text in texts))
    path = tmp_path / "records.csv"
    write_records(path, rows)
    assert read_records(path) == rows


def test_integer_ids_bom_blank_lines_and_unknown_fields(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('\ufeff{"id": 7, "instruction": "q", "response": "", "x": [1]}\n\n\n')
    assert read_records(path) == [Record("7", "q", "")]


def test_fields_by_other_names(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("key,prompt,output,gold\n1,q,a,\n2,q2,a2,g\n")
    names = {"id": "key", "instruction": "prompt", "response": "output", "reference": "gold"}
    assert read_records(path, names=names) == [Record("1", "q", "a"), Record("2", "q2", "a2", "g")]
    with pytest.raises(DataError, match="no record field 'answer'"):
        read_records(path, names={"answer": "output"})
    with pytest.raises(DataError, match="no row has a field 'golden' for 'reference'"):
        read_records(path, names=names | {"reference": "golden"})


def text_file(content: str | bytes, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)
        return folder / name

    return make


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def parquet_with_bad_text(folder: Path) -> Path:
    texts = pa.array([b"caf\xe9"]).cast(pa.string(), safe=False)
    table = pa.table({"id": ["1"], "instruction": ["q"], "response": texts})
    pq.write_table(table, folder / "x.parquet")
    return folder / "x.parquet"


BAD = {
    "not UTF-8": (
        text_file(lines(GOOD).encode() + b'{"id": "b", "instruction": "caf\xe9"}\n', "x.jsonl"),
        r"x\.jsonl, line 2: byte 0xe9 is not UTF-8; save the file as UTF-8",
    ),
    "not UTF-8, CSV": (
        text_file(b"id,instruction,response\na,q,r\nb,q,\xff\n", "x.csv"),
        r"x\.csv, line 3: byte 0xff is not UTF-8",
    ),
    "broken JSON in line 3": (
        text_file(lines(GOOD, GOOD | {"id": "b"}) + '{"id": "c", \n', "x.jsonl"),
        r"x\.jsonl, line 3: broken JSON at column \d+",
    ),
    "JSONL with another name": (
        text_file('{"id": 1}\n{"id": 2}\n', "x.json"),
        r"x\.json: holds one object per line, which is JSONL; name it \.jsonl",
    ),
    "empty JSON file": (text_file("\n", "x.json"), r"x\.json: is empty"),
    "broken JSON file": (text_file('[{"id": 1},\n {]', "x.json"), r"x\.json, line 2: broken JSON"),
    "JSON lines named json": (text_file(lines(GOOD), "x.json"), "expected a JSON array of objects"),
    "an array in a line": (
        text_file("[1]\n", "x.jsonl"),
        "line 1: expected a JSON object, got list",
    ),
    "deep nesting": (text_file("[" * 100_000, "x.jsonl"), "line 1: broken JSON"),
    "missing field": (
        text_file(lines(GOOD, {"id": "b", "instruction": "q"}), "x.jsonl"),
        r"x\.jsonl, line 2, field 'response': missing; the fields here are: id, instruction\. "
        r"Add it, or name the field that holds it with `fields` response=NAME",
    ),
    "wrong type": (
        text_file(lines(GOOD | {"response": True}), "x.jsonl"),
        r"line 1, field 'response': expected text, got bool \(True\)",
    ),
    "rating in words": (
        text_file(lines(GOOD | {"rating": "N/A"}), "x.jsonl"),
        r"line 1, field 'rating': expected a number, got str \('N/A'\)",
    ),
    "rating in words, CSV": (
        text_file("id,instruction,response,rating\n1,q,a,good\n", "x.csv"),
        r"x\.csv, row 2, field 'rating': expected a number or an empty cell, got 'good'",
    ),
    "empty instruction": (
        text_file(lines(GOOD | {"instruction": "  "}), "x.jsonl"),
        "field 'instruction': is empty",
    ),
    "duplicate id": (
        text_file(lines(GOOD, GOOD | {"id": "b"}, GOOD), "x.jsonl"),
        r"x\.jsonl, line 3, field 'id': 'a' occurs twice, first in line 1; ids must be unique",
    ),
    "empty file": (text_file("", "x.jsonl"), r"x\.jsonl: holds no records"),
    "empty array": (text_file("[]", "x.json"), r"x\.json: holds no records"),
    "header only": (text_file("id,instruction,response\n", "x.csv"), "holds no records"),
    "infinite rating": (
        text_file(lines(GOOD | {"rating": math.inf}), "x.jsonl"),
        "field 'rating': is inf",
    ),
    "rating outside its scale": (
        text_file(lines(GOOD | {"rating": 11, "rating_min": 1, "rating_max": 10}), "x.jsonl"),
        r"field 'rating': 11 lies outside its scale 1\.0 to 10\.0",
    ),
    "scale upside down": (
        text_file(lines(GOOD | {"rating_min": 5, "rating_max": 1}), "x.jsonl"),
        "field 'rating_max': must be above rating_min",
    ),
    "a rating beyond floats": (
        text_file(
            '{"id": "a", "instruction": "q", "response": "r", "rating": 1' + "0" * 400 + "}",
            "x.jsonl",
        ),
        "line 1, field 'rating': is inf",
    ),
    "null instruction": (
        text_file(lines(GOOD | {"instruction": None}), "x.jsonl"),
        "line 1, field 'instruction': is null or empty; every record needs one",
    ),
    "an id that may be 7 or '7.0'": (
        text_file(lines(GOOD | {"id": 7.0}), "x.jsonl"),
        r"field 'id': expected text, got float \(7\.0\)",
    ),
    "a key twice": (
        text_file('{"id": "a", "instruction": "q", "response": "x", "response": "y"}', "x.jsonl"),
        "line 1: broken JSON: the key 'response' occurs twice in one object",
    ),
    "a column twice, CSV": (
        text_file("id,instruction,response,response\n1,q,x,y\n", "x.csv"),
        r"x\.csv: has two columns 'response'",
    ),
    "a nameless column that holds something, CSV": (
        text_file("id,instruction,response,\n1,q,a,\n2,q,a,x\n", "x.csv"),
        r"x\.csv, row 3: column 4 has no name, but a cell with 'x'; name it",
    ),
    "a thousand or one, CSV": (
        text_file('id,instruction,response,rating\n1,q,a,"1,000"\n', "x.csv"),
        r"row 2, field 'rating': '1,000' is a thousand or has a decimal comma",
    ),
    "unclosed quote, CSV": (
        text_file('id,instruction,response\n1,q,a\n2,q,"b\n', "x.csv"),
        r"x\.csv, line 3: broken CSV",
    ),
    "UTF-16": (text_file("id".encode("utf-16"), "x.jsonl"), "is not UTF-8; it is UTF-16; save"),
    "half of UTF-16, CSV": (
        text_file(b"\xff\xfei\0d", "x.csv"),
        "is not UTF-16 .truncated data.; save it as UTF-8",
    ),
    "gzip": (
        text_file(gzip.compress(b"{}"), "x.jsonl"),
        "is not UTF-8; it is gzip: let its name end in",
    ),
    "binary text in Parquet": (
        parquet_with_bad_text,
        r"x\.parquet, row 1, field 'response': expected text or numbers: Invalid UTF8",
    ),
    "half a surrogate pair": (
        text_file('{"id": "a", "instruction": "q", "response": "\\ud83d"}\n', "x.jsonl"),
        "field 'response': holds half of a surrogate pair",
    ),
    "too many cells": (
        text_file("id,instruction,response\n1,q,a,b\n", "x.csv"),
        "row 2: has more cells than the header",
    ),
    "not Parquet": (text_file("PAR0", "x.parquet"), r"x\.parquet: is not a readable Parquet file"),
    "a text that is no table": (
        text_file("Write a poem.\nName a sea.\n", "x.txt"),
        r"x\.txt: is not a table: nothing separates columns in its first line",
    ),
    "unknown format": (text_file("x", "x.doc"), "cannot tell the format from the name; use one of"),
    "no file": (lambda folder: folder / "no.jsonl", r"no\.jsonl: cannot be read: No such file"),
    "a folder": (lambda folder: folder / "d.jsonl", r"d\.jsonl: cannot be read: Is a directory"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    (tmp_path / "d.jsonl").mkdir()
    with pytest.raises(DataError, match=message):
        read_records(make(tmp_path))


def test_lm_eval_samples(tmp_path: Path) -> None:
    def row(
        doc_id: int, answers: list[str], filter_name: str, doc: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "doc_id": doc_id,
            "doc": doc,
            "target": "42",
            "arguments": {"gen_args_0": {"arg_0": "Q: 6*7?\nA:", "arg_1": {"until": []}}},
            "resps": [answers],
            "filtered_resps": ["42"],
            "filter": filter_name,
        }

    path = tmp_path / "samples_x.jsonl"
    own = {"instruction": "i", "reference": "r", "category": "c"}
    path.write_text(
        lines(
            row(0, ["It is 42."], "strict", {"question": "6*7?"}),
            row(0, ["It is 42."], "flexible", {"question": "6*7?"}),
            row(1, ["a", "b"], "strict", own),
        )
    )
    assert read_records(path) == [
        Record("0", "Q: 6*7?\nA:", "It is 42.", "42"),
        Record("1-0", "i", "a", "r", category="c"),
        Record("1-1", "i", "b", "r", category="c"),
    ]
    for resps, message in (
        ([[]], "field 'resps': holds no generated text"),
        ([["a"], ["b"]], "field 'resps': holds no generated text"),
    ):
        path.write_text(lines(row(0, [], "none", {}) | {"resps": resps}))
        with pytest.raises(DataError, match=message):
            read_records(path)
    path.write_text(lines(row(0, ["a"], "none", {}) | {"doc_id": None}))
    with pytest.raises(DataError, match="field 'doc_id': expected the document's number"):
        read_records(path)
    likelihoods = row(0, [], "none", {}) | {"resps": [[-1.5, False]]}
    path.write_text(lines(likelihoods))
    with pytest.raises(DataError, match="line 1, field 'resps': holds no generated text; only"):
        read_records(path)


def test_nan_is_what_a_table_has_for_nothing(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("reference", "rating", "rating_min", "model", "category"), math.nan)
    (tmp_path / "x.jsonl").write_text(lines(GOOD | nothing))
    pq.write_table(pa.Table.from_pylist([GOOD | nothing]), tmp_path / "x.parquet")
    expected = Record("a", "Say hi.", "hi")
    assert read_records(tmp_path / "x.jsonl") == read_records(tmp_path / "x.parquet") == [expected]
    assert Record(**GOOD, **nothing) == expected  # type: ignore[arg-type]
    nothing |= {"reference": " ", "rating": np.float32("nan"), "model": pd.NA}
    assert Record(**GOOD, **nothing) == expected  # type: ignore[arg-type]


def test_a_field_that_another_name_replaces_is_ignored_and_said(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(lines(GOOD | {"text": "Say hello."}))
    notices = Notices()
    (record,) = read_records(tmp_path / "x.jsonl", names={"instruction": "text"}, notices=notices)
    assert record.instruction == "Say hello."
    assert notices.sentences() == ["ignored: instruction"]


def test_alpaca_eval_outputs(tmp_path: Path) -> None:
    path = tmp_path / "model_outputs.json"
    rows = [
        {"dataset": "koala", "instruction": "q", "output": "a", "generator": "m"},
        {"dataset": "koala", "instruction": "q", "output": "", "generator": "m"},
    ]
    path.write_text(json.dumps(rows))
    assert read_records(path) == [
        Record("0", "q", "a", model="m", category="koala"),
        Record("1", "q", "", model="m", category="koala"),
    ]


def test_alpaca_eval_outputs_keep_what_else_a_row_has(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    row = {"id": "1", "instruction": "q", "output": "a", "reference": "r", "rating": 5, "gold": "g"}
    path.write_text(json.dumps([row | {"model": "m"}]))
    assert read_records(path) == [Record("1", "q", "a", "r", 5.0, model="m")]
    assert read_records(path, names={"reference": "gold"})[0].reference == "g"


def test_file_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.jsonl")
    path.write_text(lines(GOOD))
    where = read_records(path)[0].where
    assert where is not None
    assert where.encode().endswith("caf\ufffd.jsonl, line 1".encode())


def test_long_csv_cells(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "instruction", "response"], ["1", "q", "w" * 500_000]])
    assert len(read_records(path)[0].response) == 500_000


def test_all_of_the_real_data_is_readable(data: Path) -> None:
    counts = {
        file.stem: len(read_records(file))
        for pattern in ("pointwise_*", "unrated_*")
        for file in (data / "judge_bench").glob(f"{pattern}.parquet")
    }
    assert len(counts) == 16
    assert counts["pointwise_mtbench"] == 2768


def test_a_name_that_leaves_no_room_for_the_files_beside_it(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 236 + ".jsonl")
    path.write_text(lines(GOOD))
    with pytest.raises(
        StoreError, match="the name is too long; with the endings of the files beside it"
    ):
        check_output(f"{path}.scores.jsonl")
    with pytest.raises(StoreError, match="its name is too long for the files beside it"):
        JudgmentStore(f"{path}.store")


def test_a_record_checks_itself_when_it_is_made() -> None:
    assert Record(1, "q", "a", rating=np.float32(5)) == Record("1", "q", "a", rating=5.0)  # type: ignore[arg-type]
    for field, value in (
        ("id", 1.5),
        ("rating", "5"),
        ("rating", math.inf),
        ("rating_max", True),
        ("model", 3),
        ("category", ["a"]),
    ):
        given: dict[str, Any] = {"id": "1", field: value}
        with pytest.raises(DataError, match=f"field '{field}': expected"):
            Record(instruction="q", response="a", **given)
    with pytest.raises(DataError, match="field 'rating': 5 lies outside its scale from 6"):
        Record("1", "q", "a", rating=5, rating_min=6)
    with pytest.raises(
        DataError, match="field 'rating_max': must be above rating_min, got 9 and 0"
    ):
        Record("1", "q", "a", rating_min=9, rating_max=0)
