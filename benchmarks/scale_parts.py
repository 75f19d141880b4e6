"""Parts of `scale.py`: what `selfj score` does with a record beside the model, each part alone."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from selfj_eval import Record, write_records
from selfj_eval.engines.local.batching import MOST
from selfj_eval.engines.local.prefix_tree import pack, tree_batches
from selfj_eval.engines.models.tokenizer import JudgeTokenizer
from selfj_eval.judging.files import RecordFile
from selfj_eval.prompts.templates import fit_prompt
from selfj_eval.raters.prompting import WINDOW
from selfj_eval.records.record import Judgment
from selfj_eval.records.row_writers import ParquetWriter
from selfj_eval.records.writing import fields_of, judgment_fields, judgment_rows, row_writer
from selfj_eval.storage.store import JudgmentStore, Stored

CHUNK = 256
"""Judgments that are stored at once with vLLM."""
SHARDS = 8
FLAT = (0.1,) * 10


def measured(
    tokenizer: JudgeTokenizer, records: Sequence[Record], rounds: int
) -> list[dict[str, Any]]:
    """Records a second of each part, in turn in each round."""
    records = [replace(record, id=str(at)) for at, record in enumerate(records)]
    with tempfile.TemporaryDirectory() as name:
        parts = _parts(tokenizer, records, Path(name))
        found: dict[str, dict[str, Any]] = {
            part: {"part": part, "tokens": 0.0, "processor": [], "elapsed": []} for part in parts
        }
        for _ in range(rounds):
            for part, call in parts.items():
                processor, start = time.process_time(), time.perf_counter()
                tokens = call()
                elapsed = time.perf_counter() - start
                own = found[part]
                own["processor"].append(len(records) / (time.process_time() - processor))
                own["elapsed"].append(len(records) / elapsed)
                own["tokens"] = (tokens or 0) / len(records)
    return list(found.values())


def _parts(
    tokenizer: JudgeTokenizer, records: Sequence[Record], folder: Path
) -> dict[str, Callable[[], int | None]]:
    """The parts by name; each gives its tokens, if it has to do with any."""
    source, shards, number = folder / "in.parquet", folder / "shards", count()
    write_records(source, records)
    shards.mkdir()
    file, texts, rows = RecordFile(source), list[str](), list[list[int]]()

    def fitted() -> int:
        prompts = [
            fit_prompt(
                tokenizer.template, record.question, record.response, record.reference,
                tokenize=tokenizer.offsets, max_tokens=tokenizer.max_tokens,
            )
            for record in records
        ]  # fmt: skip
        texts[:] = [prompt.text for prompt in prompts]
        return sum(prompt.tokens for prompt in prompts)

    def tokenized() -> int:
        rows.clear()
        for at in range(0, len(texts), WINDOW):
            rows.extend(tokenizer.rows(texts[at : at + WINDOW]))
        return sum(map(len, rows))

    def packed() -> int:
        for at in range(0, len(rows), WINDOW):
            window = rows[at : at + WINDOW]
            for batch in tree_batches(window, MOST):
                pack([window[place] for place in batch])
        return sum(map(len, rows))

    def kept() -> None:
        own = folder / f"store-{next(number)}"
        own.mkdir()
        with JudgmentStore(own / "a.store", alone=True) as store:
            for at in range(0, len(records), WINDOW):
                window = records[at : at + WINDOW]
                keys = [_key(record) for record in window]
                store.get(keys)
                for low in range(0, len(keys), CHUNK):
                    store.put({key: Stored(FLAT, 0) for key in keys[low : low + CHUNK]})
        shutil.rmtree(own)

    def written() -> None:
        for shard in range(SHARDS):
            _write(shards / f"{shard}.parquet", records[shard::SHARDS])

    return {
        "hash of the input": lambda: _nothing(file.digest()),
        "first reading and checks": lambda: _nothing(file.survey()),
        "second reading": lambda: _nothing([len(window) for window in file.windows()]),
        "prompts, tokenized to know their lengths": fitted,
        "prompts, tokenized for the model": tokenized,
        "sorting and packing (transformers)": packed,
        "store": kept,
        "scores files": written,
        "merging scores files": lambda: _merge(shards, folder / "merged.parquet"),
    }


def _nothing(_: object) -> None:
    """So that a part counts no tokens."""


def _key(record: Record) -> bytes:
    texts = (record.question, record.response, record.reference)
    return hashlib.sha256(json.dumps(texts).encode()).digest()


def _write(path: Path, records: Sequence[Record]) -> None:
    judgments = [Judgment(record.id, 4.5, 1.0, FLAT, reference_used=True) for record in records]
    with row_writer(path, judgment_fields(sorted(fields_of(records)), ())) as writer:
        assert isinstance(writer, ParquetWriter)
        writer.write(judgment_rows(records, judgments))


def _merge(shards: Path, merged: Path) -> None:
    """One file of several, a row group at a time, as memory allows with any number of them."""
    files = [pq.ParquetFile(file) for file in sorted(shards.glob("*.parquet"))]
    with pq.ParquetWriter(merged, files[0].schema_arrow, compression="zstd") as writer:
        for file in files:
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))
