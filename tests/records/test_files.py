"""Files as people bring them: compressed, in other encodings, under other names, without ids."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfj_eval import DataError, Record, read_records
from selfj_eval.records.inputs import records_of
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.reading import iter_rows

THREE = [
    Record("1", "\u00dcbersetze: good morning", "guten Morgen", rating=4.5),
    Record("2", "Add 4 and 9.", "4 + 9 = 14", rating=1.0),
    Record("3", "Two\nlines; please", "one\ntwo"),
]


@pytest.fixture(scope="module")
def files(data: Path) -> Path:
    folder = data / "formats" / "files"
    if not folder.is_dir():
        pytest.skip("SELFJ_DATA has no formats/ in it")
    return folder


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("two-members.jsonl.gz", None),
        ("two-frames.jsonl.zst", None),
        ("plain.csv.gz", None),
        ("excel-semicolon.csv", None),
        ("excel-unicode-text.txt", None),
        ("excel-semicolon-cp1252.csv", "cp1252"),
    ],
)
def test_real_files_give_the_records_that_are_in_them(
    files: Path, name: str, encoding: str | None
) -> None:
    expected = json.loads((files.parent / "expected.json").read_text())[f"files/{name}"]["records"]
    read = read_records(files / name, encoding=encoding)
    assert read == THREE == [Record(**row) for row in expected]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("truncated.jsonl.gz", r"truncated\.jsonl\.gz: is truncated: its gzip data do not end"),
        ("plain.xlsx", r"plain\.xlsx: is a spreadsheet's own format; save it as 'CSV UTF-8'"),
        (
            "excel-semicolon-cp1252.csv",
            r"cp1252\.csv, line 2: byte 0xdc is not UTF-8; save the file as UTF-8, or name its "
            r"`encoding`, such as cp1252",
        ),
        ("traps.jsonl", r"traps\.jsonl, line 2, field 'rating': -1 lies outside its scale"),
    ],
)
def test_real_files_that_are_refused(files: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_records(files / name, scale=(1, 5))


def test_ratings_as_text_and_a_number_that_stands_for_none(files: Path, tmp_path: Path) -> None:
    notices = Notices()
    read = read_records(files / "traps.jsonl", scale=(1, 5), missing_rating=-1, notices=notices)
    assert [(r.id, r.rating, r.rating_min, r.rating_max) for r in read if r.error is None] == [
        ("1", 4.0, 1.0, 5.0),
        ("2", None, None, None),
        ("4", 1.0, 1.0, 5.0),
    ]
    assert {"ratings of -1, read as no rating: 1", "numbers written as text in 'rating': 1"} <= {
        *notices.sentences()
    }
    table = tmp_path / "x.csv"
    table.write_text("id,instruction,response,rating\n1,q,a,N/A\n2,q,b,4\n")
    assert [r.rating for r in read_records(table, missing_rating="N/A")] == [None, 4.0]
    (tmp_path / "x.jsonl").write_text('{"instruction": "q", "response": "a", "rating": "N/A"}\n')
    assert read_records(tmp_path / "x.jsonl", missing_rating="N/A")[0].rating is None


def test_a_scale_is_for_ratings_that_have_none(tmp_path: Path) -> None:
    own = {"rating": 8, "rating_min": 1, "rating_max": 10}
    rows = [
        {"id": k, "instruction": "q", "response": "a"} | more
        for k, more in enumerate(({"rating": 2}, own, {}))
    ]
    for read in (
        records_of(rows, options=ReadOptions(scale=(1, 5))),
        records_of([Record(**row) for row in rows], options=ReadOptions(scale=(1, 5))),
    ):
        assert [(r.rating, r.rating_min, r.rating_max) for r in read] == [
            (2, 1, 5),
            (8, 1, 10),
            (None, None, None),
        ]
    with pytest.raises(DataError, match="`scale` is the lower end, then the higher"):
        ReadOptions(scale=(5, 1))


@pytest.mark.parametrize("name", ["two-members.jsonl.gz", "two-frames.jsonl.zst", "plain.csv.gz"])
def test_a_compressed_file_that_is_cut_anywhere_is_one_error(
    files: Path, tmp_path: Path, name: str
) -> None:
    """Unless it is cut between two members, where nothing tells that there was more."""
    content = (files / name).read_bytes()
    marks = {b"\x1f\x8b\x08", b"(\xb5/\xfd"}
    whole = {k for k in range(1, len(content)) if content[k : k + 3] in marks} | {
        k for k in range(1, len(content)) if content[k : k + 4] in marks
    }
    path = tmp_path / name
    for end in sorted(set(range(1, len(content))) - whole):
        path.write_bytes(content[:end])
        with pytest.raises(DataError, match=r"is truncated|cannot be read as|holds no records"):
            read_records(path)


def test_what_is_not_compressed_as_its_name_says(tmp_path: Path) -> None:
    for name in ("x.jsonl.gz", "x.jsonl.zst"):
        (tmp_path / name).write_text('{"id": "1", "instruction": "q", "response": "a"}\n')
        with pytest.raises(
            DataError, match="cannot be read as (gzip|zstd), although its name says so"
        ):
            read_records(tmp_path / name)
    (tmp_path / "x.parquet.gz").write_bytes(gzip.compress(b"PAR1"))
    with pytest.raises(DataError, match="is Parquet, which is compressed inside; unpack it"):
        read_records(tmp_path / "x.parquet.gz")
    (tmp_path / "x.json.gz").write_bytes(
        gzip.compress(b'[{"id": "1", "instruction": "q", "response": "a"}]')
    )
    assert read_records(tmp_path / "x.json.gz") == [Record("1", "q", "a")]


def test_an_encoding_that_is_told(tmp_path: Path) -> None:
    row = {"instruction": "Gr\u00fc\u00df Gott?", "response": "Gr\u00fc\u00df dich."}
    text = json.dumps(row, ensure_ascii=False) + "\n"
    for encoding in ("utf-16", "cp1252", "utf-8"):
        (tmp_path / "x.jsonl").write_text(text, encoding=encoding)
        assert read_records(tmp_path / "x.jsonl", encoding=encoding) == [Record("0", **row)]
    (tmp_path / "x.jsonl").write_bytes(b'{"instruction": "\x81"}\n')
    with pytest.raises(DataError, match="line 1: byte 0x81 is not cp1252"):
        read_records(tmp_path / "x.jsonl", encoding="cp1252")
    for wrong in ("klingon", "rot13"):
        with pytest.raises(DataError, match="`encoding` must be one that Python knows"):
            read_records(tmp_path / "x.jsonl", encoding=wrong)


@pytest.mark.parametrize("instruction", ["prompt", "question", "input", "instruction"])
@pytest.mark.parametrize("response", ["answer", "output", "completion", "response"])
def test_familiar_names_are_recognised_and_said(
    jsonl: Callable[..., Path], instruction: str, response: str
) -> None:
    notices = Notices()
    path = jsonl(
        {instruction: "Say hi.", response: "hi"}, {instruction: "Name a sea.", response: ""}
    )
    assert read_records(path, notices=notices) == [
        Record("0", "Say hi.", "hi"),
        Record("1", "Name a sea.", ""),
    ]
    said = notices.sentences()
    assert "there is no field 'id': the positions are the ids, starting at 0" in said
    assert (f"{instruction!r} is taken as the instruction" in said) == (
        instruction != "instruction"
    )
    if (instruction, response) != ("instruction", "output"):  # AlpacaEval's own
        assert (f"{response!r} is taken as the response" in said) == (response != "response")
    assert not any(sentence.startswith("ignored") for sentence in said)


def test_alpacas_input_and_output_keep_their_meaning(jsonl: Callable[..., Path]) -> None:
    path = jsonl({"instruction": "Translate.", "input": "Meer", "output": "sea", "answer": "ocean"})
    assert read_records(path) == [Record("0", "Translate.\n\nMeer", "sea")]


def test_two_names_for_one_field_are_refused(jsonl: Callable[..., Path]) -> None:
    row = {"prompt": "p", "question": "q", "answer": "a"}
    with pytest.raises(
        DataError,
        match="line 1: the instruction may be 'prompt' or 'question'; say which, such as "
        "`fields` instruction=prompt",
    ):
        read_records(jsonl(row))
    assert read_records(jsonl(row), names={"instruction": "question"}) == [Record("0", "q", "a")]
    # A name that is in use for another field is no candidate.
    row = {"prompt": "p", "answer": "gold", "output": "a"}
    assert read_records(jsonl(row), names={"reference": "answer"}) == [
        Record("0", "p", "a", "gold")
    ]


def test_all_missing_fields_are_named_at_once_with_the_likely_names(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("User query,model_reply,note\nq,a,\n")
    with pytest.raises(DataError) as caught:
        read_records(path)
    assert str(caught.value).endswith(
        "x.csv, row 2: instruction and response are missing; the fields here are: User query, "
        "model_reply, note. User query looks like instruction: `fields` instruction=User query. "
        "model_reply looks like response: `fields` response=model_reply."
    )
    path.write_text("a,b\nq,a\n")
    with pytest.raises(DataError, match="Add instruction and response, or name the field that ho"):
        read_records(path)


def test_ids_are_positions_or_the_files_own(jsonl: Callable[..., Path]) -> None:
    row = {"instruction": "q", "response": "a"}
    assert [r.id for r in read_records(jsonl(row, row, row))] == ["0", "1", "2"]
    assert [r.id for r in records_of([row, row])] == ["0", "1"]
    with pytest.raises(DataError, match="line 2, field 'id': is here, but not in the first row"):
        read_records(jsonl(row, row | {"id": "x"}))
    with pytest.raises(DataError, match="line 2, field 'id': missing"):
        read_records(jsonl(row | {"id": "x"}, row))
    with pytest.raises(DataError, match="field 'id': '0' occurs twice"):
        read_records(jsonl(row | {"id": 0}, row | {"id": "0"}))


def test_rows_are_counted_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('id,instruction,response\n1,"two\nlines","and\nthree\nhere"\n\n3,,a\n')
    with pytest.raises(DataError, match=r"x\.csv, row 4, field 'instruction': is null or empty"):
        read_records(path)


def test_a_table_with_tabs(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("question\tanswer\trating\nAdd 1, then 1.\t\t3\n")
    assert read_records(path) == [Record("0", "Add 1, then 1.", "", rating=3)]


def test_fields_within_fields(files: Path, tmp_path: Path) -> None:
    table = pq.read_table(files / "nested.parquet")
    answers = pa.table({"instruction": ["q", "q2"], "response": ["a", "b"]})
    for name in answers.column_names:
        table = table.append_column(name, answers[name])
    pq.write_table(table.drop_columns("messages"), tmp_path / "x.parquet")
    rows = table.drop_columns("messages").to_pylist()
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = {"rating": "meta.ratings", "model": "meta.model"}
    for suffix in ("parquet", "jsonl"):
        notices = Notices()
        read = read_records(tmp_path / f"x.{suffix}", names=names, scale=(1, 5), notices=notices)
        assert [(r.model, r.rating, r.rating_max) for r in read] == [
            ("model-a", 4.5, 5.0),
            ("model-b", None, None),
        ]
        assert notices.sentences() == ["1 answer has several ratings: their mean is used"]
        with pytest.raises(DataError, match=r"no row has a field 'meta\.rating' for"):
            read_records(tmp_path / f"x.{suffix}", names={"rating": "meta.rating"})


def test_a_chat_as_a_struct_of_lists_is_a_list_of_messages(files: Path, tmp_path: Path) -> None:
    ((_, row),) = iter_rows(files / "transposed.parquet")
    assert [message["from"] for message in row["conversations"]] == ["human", "gpt"]
    assert row["conversations"][1]["value"].startswith("Fill the kettle")
    chat = {"role": ["user", "assistant"], "content": ["q"]}
    kept = {"a": [1, 2], "b": [3]}  # no chat: as it is
    pq.write_table(pa.table({"chat": [None, chat], "other": [kept, kept]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="row 2, field 'chat': is a chat whose lists differ in len"):
        list(iter_rows(tmp_path / "x.parquet"))
    ((_, first), *_) = iter_rows(tmp_path / "x.parquet", fields=("other",))
    assert first["other"] == kept


def test_every_reader_takes_compressed_files(tmp_path: Path) -> None:
    from selfj_eval.generation.instructions import read_instructions
    from selfj_eval.judging.scored import read_scores

    path = tmp_path / "x.jsonl.gz"
    row: dict[str, Any] = {"id": "1", "instruction": "q", "response": "a", "score": 3, "rating": 4}
    path.write_bytes(gzip.compress((json.dumps(row) + "\n").encode()))
    assert read_instructions(path)[0].text == "q"
    assert read_scores(path).answers[0].score == 3
