"""CSV as spreadsheets write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfj_eval import DataError, Record, read_records, write_records
from selfj_eval.records.notices import Notices
from selfj_eval.records.record import NO_ANSWER

EMPTY = "empty cells, read as empty answers: 1"
WRITTEN = {
    "semicolons and decimal commas": (
        "id;instruction;response;rating\n1;Add 2 and 3.;5;8,5\n2;Add, then halve.;;1\n",
        "utf-8-sig",
        ["semicolons separate the cells", "numbers with a decimal comma: 1", EMPTY],
    ),
    "tabs in UTF-16 (Excel's Unicode text)": (
        "id\tinstruction\tresponse\trating\n1\tAdd 2 and 3.\t5\t8,5\n2\tAdd, then halve.\t\t1\n",
        "utf-16",
        ["the file is UTF-16", "tabs separate the cells", "numbers with a decimal comma: 1", EMPTY],
    ),
    "the delimiter in a line of its own": (
        "sep=;\r\nid;instruction;response;rating\r\n1;Add 2 and 3.;5;8.5\r\n"
        "2;Add, then halve.;;1\r\n",
        "utf-8-sig",
        ["its first line says that semicolons separate the cells", EMPTY],
    ),
    "decimal commas in quotes": (
        'id,instruction,response,rating\n1,Add 2 and 3.,5,"8,5"\n2,"Add, then halve.",,1\n',
        "utf-8",
        ["numbers with a decimal comma: 1", EMPTY],
    ),
    "empty columns and rows at the end": (
        "id,instruction,response,rating,,\n1,Add 2 and 3.,5,8.5,,\n"
        '2,"Add, then halve.",,1\n,,,,,\n',
        "utf-8",
        [EMPTY, "empty rows, skipped: 1"],
    ),
    "pandas with its index, two files put together": (
        ",id,instruction,response,rating\n0,1,Add 2 and 3.,5,8.5\n,id,instruction,response,rating\n"
        '1,2,"Add, then halve.",,1\n',
        "utf-8",
        [EMPTY, "repeated headers, skipped: 1"],
    ),
    "short and long rows": (
        'id,instruction,response,rating,model\n1,Add 2 and 3.,5,8.5\n2,"Add, then halve.",,1,,,\n',
        "utf-8",
        [
            EMPTY,
            "rows with fewer cells than the header: 1",
            "rows with more cells than the header, all of them empty: 1",
        ],
    ),
    "semicolons in quotes of a header with commas": (
        '"id",instruction,response,rating,"a;b;c;d;e"\n1,Add 2 and 3.,5,8.5,\n'
        '2,"Add, then halve.",,1,\n',
        "utf-8",
        [EMPTY, "ignored: a;b;c;d;e"],
    ),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_what_spreadsheets_write_is_read_and_said(tmp_path: Path, case: str) -> None:
    text, encoding, sentences = WRITTEN[case]
    path, notices = tmp_path / "x.csv", Notices()
    path.write_bytes(text.encode(encoding))
    assert read_records(path, notices=notices) == [
        Record("1", "Add 2 and 3.", "5", rating=8.5),
        Record("2", "Add, then halve.", "", rating=1),
    ]
    assert sorted(notices.sentences()) == sorted(sentences)


def test_an_empty_answer_is_an_answer_whatever_its_column_is_called(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,prompt,completion,gold\n1,q,,\n2,q2,a,g\n")
    names = {"instruction": "prompt", "response": "completion", "reference": "gold"}
    assert read_records(path, names=names) == [Record("1", "q", ""), Record("2", "q2", "a", "g")]
    path.write_text("id,instruction,output\n1,q,\n")  # AlpacaEval's name
    assert read_records(path) == [Record("1", "q", "")]
    path.write_text("id,instruction,response\n1,,a\n")
    with pytest.raises(DataError, match="row 2, field 'instruction': is null or empty"):
        read_records(path)


@pytest.mark.parametrize("number", ["1_0", "\u0663", "good", "NA", "0x10"])
def test_what_python_takes_for_a_number_is_none(tmp_path: Path, number: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"id,instruction,response,rating\n1,q,a,{number}\n")
    with pytest.raises(DataError, match="row 2, field 'rating': expected a number or an empty"):
        read_records(path)


def test_a_row_that_ends_before_its_answer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,instruction,response,rating\n1,q,a\n2,q\n")
    with pytest.raises(DataError, match="row 3: ends before the column 'response'; is a delimit"):
        read_records(path)
    path.write_text("id,instruction,response,rating\n1,q,\n")
    assert read_records(path) == [Record("1", "q", "")]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_no_answer_and_an_empty_one_stay_apart_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    given = [Record("1", "q", ""), Record("2", "q", None), Record("3", "q", "nan")]  # type: ignore[arg-type]
    write_records(path, given)
    read = read_records(path)
    assert [(r.response, r.error) for r in read] == [("", None), ("", NO_ANSWER), ("nan", None)]
