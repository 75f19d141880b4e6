"""Samples of a finished collection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from selfj_eval import collection as collect

pytest.importorskip("datasketch", reason="the extra collect is not installed")
pytest.importorskip("py3langid", reason="the extra collect is not installed")


def rows_of(file: Path) -> list[dict[str, str]]:
    return pq.read_table(file).to_pylist()


@pytest.fixture
def collection(downloads: Path, tmp_path: Path) -> Path:
    sources = ["quora", "quora_coding", "mbpp", "qasc"]
    made = tmp_path / "collection"
    collect.run(output=made, origin=downloads, sources=sources, evaluation=(), workers=1)
    return made


def test_a_sample_is_the_same_on_any_number_of_workers(
    in_process: Callable[..., Any], collection: Path, tmp_path: Path
) -> None:
    digests = set()
    for workers in (1, 2, 3):
        file = tmp_path / f"sample{workers}.jsonl"
        arguments = ["--n", 20, "--seed", 7, "--workers", workers, "--output", file]
        done = in_process("selfj", "collect", "sample", collection, *arguments)
        assert done.returncode == 0, done.stderr
        digests.add(hashlib.sha256(file.read_bytes()).hexdigest())
    assert len(digests) == 1
    drawn = [json.loads(line) for line in file.read_text().splitlines()]
    every = {r["id"]: r for f in collection.glob("[CA]*/*.parquet") for r in rows_of(f)}
    assert all(every[row["id"]] == row for row in drawn)
    assert len({row["id"] for row in drawn}) == 20
    expected = sorted(every, key=lambda k: hashlib.sha256(f"7\n{k}".encode()).digest())[:20]
    assert [row["id"] for row in drawn] == expected


def test_samples_that_have_nothing_in_common(
    in_process: Callable[..., Any], collection: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    base = ["collect", "sample", collection, "--n", 20]
    assert in_process("selfj", *base, "--output", first).returncode == 0
    done = in_process("selfj", *base, "--exclude", first, "--output", second, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["excluded"] == 20
    ids = [{json.loads(x)["id"] for x in f.read_text().splitlines()} for f in (first, second)]
    assert len(ids[0]) == len(ids[1]) == 20 and not ids[0] & ids[1]
    other = in_process("selfj", *base, "--seed", 1, "--output", second)
    assert other.returncode == 0 and first.read_bytes() != second.read_bytes()
    only = in_process("selfj", *base[:3], "--n", 8, "--category", "Coding", "--output", second)
    assert only.returncode == 0
    kinds = {json.loads(x)["category"] for x in second.read_text().splitlines()}
    assert kinds == {"Coding"}
    inside = collection / "Common" / "quora.parquet"
    assert in_process("selfj", *base, "--output", inside).returncode == 2
    (collection / "summary.json").rename(collection / "gone")
    half = in_process("selfj", *base, "--output", second)
    assert half.returncode == 2 and "the collection is not finished" in half.stderr
    (collection / "gone").rename(collection / "summary.json")
    much = in_process("selfj", *base[:3], "--n", 1000, "--output", second)
    assert much.returncode == 2 and "instructions to draw from, not 1,000" in much.stderr
