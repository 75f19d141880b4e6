"""Documents for the tasks: the embedded ladder, and rated answers of the data folder."""

from __future__ import annotations

import re
from typing import Any

from datasets import Dataset, Features, Value

from selfj_eval.errors import DataError
from selfj_eval.records.conversations import messages_of
from selfj_eval.records.pairs import read_pairs
from selfj_eval.records.reading import read_records
from selfj_eval.records.record import RECORD_FIELDS, Record
from selfj_eval.registry.folder import data_file

_SECOND_WAY = "`selfj_data` in lm-eval's `metadata`"
_MESSAGES = [{"role": Value("string"), "content": Value("string")}]
_NUMBERS = ("rating", "rating_min", "rating_max")


def judge_bench_records(
    *, selfj_source: str, selfj_data: str | None = None, **_: Any
) -> dict[str, Dataset]:
    """Rated answers of ``judge_bench``; called by lm-eval with the task's metadata."""
    kind, source = _split(selfj_source, ("pointwise", "unrated"))
    path = data_file("judge_bench", f"{kind}_{source}.parquet", selfj_data, second_way=_SECOND_WAY)
    return {"test": record_dataset(read_records(path))}


def judge_bench_pairs(
    *, selfj_source: str, selfj_data: str | None = None, **_: Any
) -> dict[str, Dataset]:
    """Labelled pairs of ``judge_bench``; called by lm-eval with the task's metadata."""
    kind, source = _split(selfj_source, ("pairwise",))
    path = data_file("judge_bench", f"{kind}_{source}.parquet", selfj_data, second_way=_SECOND_WAY)
    names = ("id", "category", "instruction", "reference", "response_a", "response_b", "label")
    features: dict[str, Any] = {name: Value("string") for name in names}
    pairs = read_pairs(path)
    rows = [{name: getattr(pair, name) for name in names} for pair in pairs]
    for row, pair in zip(rows, pairs, strict=True):
        if pair.error is not None:  # as an answer that is not there: it stays unscored
            row |= {"response_a": None, "response_b": None}
    if any(pair.messages is not None for pair in pairs):
        features["messages"] = _MESSAGES
        for row, pair in zip(rows, pairs, strict=True):
            row["messages"] = None if pair.messages is None else messages_of(pair.messages)
    return {"test": Dataset.from_list(rows, Features(features))}


def demo_answers(**_: Any) -> dict[str, Dataset]:
    """The embedded quality ladder: ten answers of known quality to every instruction."""
    from selfj_eval.demo import demo_records

    return {"test": record_dataset(demo_records())}


def demo_instructions(**_: Any) -> dict[str, Dataset]:
    """The ladder's instructions and references, one document each."""
    from selfj_eval.demo import demo_records

    names = ("instruction", "reference", "category")
    texts = {record.instruction: record for record in demo_records()}.values()
    rows = [
        {"id": record.id.rpartition("-")[0]} | {name: getattr(record, name) for name in names}
        for record in texts
    ]
    return {"test": Dataset.from_list(rows)}


def record_dataset(records: list[Record]) -> Dataset:
    """Records as lm-eval documents, every column present."""
    features: dict[str, Any] = {
        name: Value("float64" if name in _NUMBERS else "string") for name in RECORD_FIELDS
    }
    features["messages"] = _MESSAGES
    features["raters"] = [{"rater": Value("string"), "rating": Value("float64")}]
    for name in ("messages", "raters"):  # of records that have none, documents are as they were
        if all(getattr(record, name) is None for record in records):
            del features[name]
    rows = [{name: record.row()[name] for name in features} for record in records]
    return Dataset.from_list(rows, Features(features))


def _split(source: str, kinds: tuple[str, ...]) -> tuple[str, str]:
    """``pointwise_mtbench`` to its two parts; the name becomes part of a path, so it is checked."""
    match = re.fullmatch(rf"({'|'.join(kinds)})_([a-z0-9_]+)", source)
    if match is None:
        raise DataError(
            f"expected {' or '.join(f'{k}_NAME' for k in kinds)} in lower case, got {source!r}.",
            field="selfj_source",
        )
    return match[1], match[2]
