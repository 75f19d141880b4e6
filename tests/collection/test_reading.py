"""Rows of sources: from folders of JSONL and Parquet, and through ``datasets``."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfj_eval.collection import reading
from selfj_eval.collection.converters import instructions
from selfj_eval.collection.reading import fingerprint, iter_rows
from selfj_eval.collection.sources import load_sources
from selfj_eval.errors import DataError

SOURCES = {source.name: source for source in load_sources()}
MBPP, FORUM = SOURCES["mbpp"], SOURCES["BeIR_cqadupstack-generated-queries_coding"]


def put(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows in the format of the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def test_files_of_a_folder_in_the_order_of_their_names(tmp_path: Path) -> None:
    own = tmp_path / "mbpp"
    put(own / "c.jsonl.gz", [{"text": "five"}])
    put(own / "b" / "x.jsonl", [{"text": "three"}, {"text": "four"}])
    put(own / "a.parquet", [{"text": "one", "code": "1"}, {"text": "two", "code": "2"}])
    (own / "README.md").write_text("not data")
    assert list(iter_rows(MBPP, tmp_path)) == [
        ("a.parquet, row 1", {"text": "one"}),
        ("a.parquet, row 2", {"text": "two"}),
        ("b/x.jsonl, line 1", {"text": "three"}),
        ("b/x.jsonl, line 2", {"text": "four"}),
        ("c.jsonl.gz, line 1", {"text": "five"}),
    ]
    assert [row["text"] for _, row in iter_rows(MBPP, tmp_path, limit=3)] == ["one", "two", "three"]


def test_a_data_set_lies_once_for_all_of_its_parts(tmp_path: Path) -> None:
    put(
        tmp_path / "quora" / "a.jsonl",
        [{"sentence1": "Is PHP dead?", "sentence2": "Is tea hot?", "label": 0}],
    )
    found = {
        name: [
            text
            for place, row in iter_rows(SOURCES[name], tmp_path)
            for text in instructions(SOURCES[name], place, row)
        ]
        for name in ("quora", "quora_coding")
    }
    assert found == {"quora": ["Is tea hot?"], "quora_coding": ["Is PHP dead?"]}
    (tmp_path / "quora").rename(tmp_path / "sentence-transformers_quora-duplicates")
    assert len(list(iter_rows(SOURCES["quora_coding"], tmp_path))) == 1


@pytest.mark.parametrize(
    "name",
    [
        "programmers/train.jsonl.gz",
        "programmers.stackexchange.com.jsonl",
        "programmers/x/0.parquet",
    ],
)
def test_the_forum_is_the_folder_or_file(tmp_path: Path, name: str) -> None:
    own = tmp_path / "BeIR_cqadupstack-generated-queries"
    put(own / name, [{"_id": "1", "query": "what is mvc"}])
    put(own / "gaming" / "train.jsonl.gz", [{"_id": "2", "query": "what is a boss"}])
    rows = list(iter_rows(FORUM, tmp_path))
    assert sorted(row["subset"] for _, row in rows) == ["gaming", "programmers"]
    kept = [text for place, row in rows for text in instructions(FORUM, place, row)]
    assert kept == ["what is mvc"]


def test_a_subset_that_the_row_has_is_kept(tmp_path: Path) -> None:
    put(tmp_path / FORUM.name / "all.jsonl", [{"query": "q", "subset": "unix"}])
    assert [row["subset"] for _, row in iter_rows(FORUM, tmp_path)] == ["unix"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_changed_schema_names_file_and_field(tmp_path: Path, ending: str) -> None:
    put(tmp_path / "mbpp" / f"a.{ending}", [{"prompt": "Write it."}] * 3)
    place, row = next(iter_rows(MBPP, tmp_path))
    with pytest.raises(DataError, match="field 'text': is missing") as caught:
        instructions(MBPP, place, row)
    assert caught.value.path == "mbpp" and str(caught.value.place).startswith(f"a.{ending}, ")


def test_only_the_columns_of_the_source_are_read(tmp_path: Path) -> None:
    """Another column is never looked at: here its pages are garbage."""
    path = tmp_path / "mbpp" / "a.parquet"
    path.parent.mkdir()
    table = pa.table({"text": ["one", "two"], "zz": [os.urandom(5000).hex(), "b"]})
    pq.write_table(table, path, compression="none", use_dictionary=False)
    start = pq.ParquetFile(path).metadata.row_group(0).column(1).data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 60] = b"\xff" * 60
    path.write_bytes(bytes(content))
    with pytest.raises(OSError):
        pq.read_table(path)
    assert [row for _, row in iter_rows(MBPP, tmp_path)] == [{"text": "one"}, {"text": "two"}]


def broken_line(own: Path) -> None:
    (own / "a.jsonl").write_bytes(b'{"text": "one"}\n\n{"text": "tw\n')


def no_object(own: Path) -> None:
    (own / "a.jsonl").write_bytes(b'{"text": "one"}\n\n["two", "answer"]\n')


def no_utf8(own: Path) -> None:
    (own / "a.jsonl").write_bytes(b'{"text": "one"}\n\n{"text": "\xff"}\n')


def cut_off(own: Path) -> None:
    whole = put(own / "a.jsonl.gz", [{"text": os.urandom(200).hex()} for _ in range(100)])
    whole.write_bytes(whole.read_bytes()[:2000])


def damaged(own: Path) -> None:
    whole = put(own / "a.jsonl.gz", [{"text": os.urandom(200).hex()} for _ in range(100)])
    content = whole.read_bytes()
    whole.write_bytes(content[:2000] + b"\xff" * 400 + content[2400:])


def no_gzip(own: Path) -> None:
    (own / "a.jsonl.gz").write_bytes(b'{"text": "one"}\n')


def no_parquet(own: Path) -> None:
    (own / "a.parquet").write_bytes(b"PAR1 it is not PAR1")


def empty_folder(own: Path) -> None:
    (own / "data.csv").write_text("text\none\n")


def no_folder(own: Path) -> None:
    own.rmdir()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (broken_line, r"mbpp, a\.jsonl, line 3: is not JSON"),
        (no_object, r"mbpp, a\.jsonl, line 3: expected a JSON object, got list"),
        (no_utf8, r"mbpp, a\.jsonl, line 3: is not JSON"),
        (cut_off, r"mbpp, a\.jsonl\.gz: cannot be read"),
        (damaged, r"mbpp, a\.jsonl\.gz(: cannot be read|, line \d+: is not JSON)"),
        (no_gzip, r"mbpp, a\.jsonl\.gz: cannot be read"),
        (no_parquet, r"mbpp, a\.parquet: is not a readable Parquet file"),
        (empty_folder, r"mbpp: there is no file in .* ends in \.jsonl, \.jsonl\.gz, \.parquet"),
        (no_folder, r"mbpp: there is no folder .*: mbpp, google-research-datasets_mbpp\."),
    ],
)
def test_what_cannot_be_read_names_the_source(tmp_path: Path, make: Any, message: str) -> None:
    own = tmp_path / "mbpp"
    own.mkdir()
    make(own)
    with pytest.raises(DataError, match=message):
        list(iter_rows(MBPP, tmp_path))


def test_a_fingerprint_changes_with_the_input_only(tmp_path: Path) -> None:
    file = put(tmp_path / "mbpp" / "a.jsonl", [{"text": "one"}])
    first = fingerprint(MBPP, tmp_path)
    os.utime(file, (0, 0))
    assert fingerprint(MBPP, tmp_path) == first
    put(file, [{"text": "two"}])  # of the same size
    seen = {first, fingerprint(MBPP, tmp_path)}
    seen.add(fingerprint(replace(MBPP, fields=("code",)), tmp_path))
    file.rename(file.with_name("b.jsonl"))
    seen.add(fingerprint(MBPP, tmp_path))
    put(tmp_path / "mbpp" / "c.jsonl", [])
    seen.add(fingerprint(MBPP, tmp_path))
    assert len(seen) == 5
    with pytest.raises(DataError, match="mbpp: there is no folder"):
        fingerprint(MBPP, tmp_path / "mbpp")


def test_a_data_set_on_the_hub_split_by_split(tmp_path: Path) -> None:
    """The call that reads the hub takes a folder in place of an id, too."""
    put(tmp_path / "train.jsonl", [{"text": "one"}, {"text": "two"}])
    put(tmp_path / "test.jsonl", [{"text": "three"}])
    source = replace(MBPP, hub=str(tmp_path), config=None, split="train+test")
    assert list(iter_rows(source)) == [
        ("train, row 1", {"text": "one"}),
        ("train, row 2", {"text": "two"}),
        ("test, row 1", {"text": "three"}),
    ]
    assert len(list(iter_rows(source, limit=1))) == 1


def test_files_of_a_hub_repository_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a loading script, which is not run, and with columns that differ."""
    put(tmp_path / "unix" / "train.jsonl.gz", [{"_id": "1", "query": "a"}])
    put(tmp_path / "programmers" / "train.jsonl.gz", [{"_id": 2, "query": "b", "title": "B"}])
    put(tmp_path / "unix" / "dev.jsonl.gz", [{"_id": "3", "query": "c"}])
    (tmp_path / f"{tmp_path.name}.py").write_text("raise SystemExit")
    monkeypatch.setattr(reading, "_hub_root", lambda source: str(tmp_path))
    rows = list(iter_rows(FORUM))
    assert [(place, row["query"], row["subset"]) for place, row in rows] == [
        ("programmers/train.jsonl.gz, row 1", "b", "programmers"),
        ("unix/train.jsonl.gz, row 1", "a", "unix"),
    ]
    put(tmp_path / "en" / "train" / "0000.parquet", [{"question": "Who?", "lang": "en"}])
    mintaka = SOURCES["AmazonScience_mintaka"]
    assert [row["question"] for _, row in iter_rows(mintaka)] == ["Who?"]
    with pytest.raises(DataError, match="neulab_tldr, field 'files': .* has no files tldr-train"):
        list(iter_rows(SOURCES["neulab_tldr"]))


@pytest.mark.parametrize("name", ["mbpp", "AmazonScience_mintaka"])
def test_without_a_network_the_error_says_what_to_do(name: str) -> None:
    with pytest.raises(DataError, match="cannot be read from the hub") as caught:
        next(iter_rows(SOURCES[name]))
    assert caught.value.path == name and "folder" in str(caught.value)
    assert fingerprint(SOURCES[name]) == fingerprint(SOURCES[name])
