"""The rated sets of judge_bench, as the judges here are trained and measured on them."""

from __future__ import annotations

import random
from dataclasses import replace

from selfj_eval import Record
from selfj_eval.records.ratings import rescaled
from selfj_eval.records.reading import read_records
from selfj_eval.registry.folder import data_file


def read_set(name: str) -> list[Record]:
    """A rated set, ratings on 0..9."""
    records = read_records(data_file("judge_bench", f"pointwise_{name}.parquet"))
    return [
        replace(r, rating=rescaled(r.rating or 0.0, r.rating_min, r.rating_max),
                rating_min=0.0, rating_max=9.0)
        for r in records
    ]  # fmt: skip


def sample(records: list[Record], most: int, seed: int) -> list[Record]:
    """At most so many, the same ones each time."""
    return random.Random(seed).sample(records, min(most, len(records)))
