"""Parquet: columns that are not needed, types that Python lacks, texts that stand in every row."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfj_eval import DataError, Record, read_records
from selfj_eval.judging.scored import read_scores
from selfj_eval.records.notices import Notices

BASE = {
    "id": pa.array(["1", "2"]),
    "instruction": pa.array(["Add 2 and 3.", "Name a sea."]),
    "response": pa.array(["5", "Aral"]),
}
FAR = pa.array([2**62, None], pa.int64()).cast(pa.timestamp("us"))


@pytest.mark.parametrize(
    "column",
    [
        FAR,
        pa.array([-(10**6), 10**6], pa.int32()).cast(pa.date32()),
        pa.array([2**62, 0], pa.int64()).cast(pa.timestamp("us", tz="Nowhere/Land")),
        pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(8, "f4")), 4),
    ],
)
def test_a_column_that_nothing_reads_is_no_fault(tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({**BASE, "other": column}), tmp_path / "x.parquet")
    notices = Notices()
    records = read_records(tmp_path / "x.parquet", notices=notices)
    assert [r.response for r in records] == ["5", "Aral"]
    assert notices.sentences() == ["ignored: other"]


def test_arrow_types_become_pythons(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([Decimal(1), Decimal(2)], pa.decimal128(38, 0)),  # Spark's
            "instruction": BASE["instruction"].cast(pa.binary()),
            "response": BASE["response"].dictionary_encode(),
            "rating": pa.array([Decimal("8.5"), Decimal("1")], pa.decimal128(10, 2)),
            "rating_min": pa.array(np.zeros(2, "f2")),
            "rating_max": pa.array([10, 10], pa.uint8()),
            "category": pa.array([0, 1], pa.int32()).cast(pa.date32()),
            "model": BASE["response"].cast(pa.large_string()),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    scale = (0.0, 10.0)
    assert read_records(tmp_path / "x.parquet") == [
        Record("1", "Add 2 and 3.", "5", None, 8.5, *scale, model="5", category="1970-01-01"),
        Record("2", "Name a sea.", "Aral", None, 1.0, *scale, model="Aral", category="1970-01-02"),
    ]


def test_an_id_of_more_digits_than_a_number_has(tmp_path: Path) -> None:
    ids = pa.array([Decimal(10**30), Decimal(2)], pa.decimal128(38, 0))
    pq.write_table(pa.table({**BASE, "id": ids}), tmp_path / "x.parquet")
    assert [r.id for r in read_records(tmp_path / "x.parquet")] == ["1" + "0" * 30, "2"]


def test_decimal_scores_are_numbers_also_off_their_scale(tmp_path: Path) -> None:
    two = pa.decimal128(10, 2)
    table = pa.table(
        {
            **BASE,
            "score": pa.array([Decimal("8.25"), Decimal("0.5")], two),
            "rating": pa.array([Decimal(9), Decimal(11)], two),
            "rating_min": pa.array([Decimal(1)] * 2, two),
            "rating_max": pa.array([Decimal(10)] * 2, two),
            "made": FAR,
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    scores = read_scores(tmp_path / "x.parquet")
    assert [(a.score, a.rating) for a in scores.answers] == [(8.25, 9.0), (0.5, None)]
    assert "1 rating outside the scale" in scores.warnings[0]


def test_text_that_is_not_text_is_named_with_its_row(tmp_path: Path) -> None:
    texts = pa.array([b"sea"] * 300 + [b"caf\xe9"])
    table = pa.table(
        {"id": [str(k) for k in range(301)], "instruction": ["q"] * 301, "response": texts}
    )
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet, row 301, field 'response': expected text"):
        read_records(tmp_path / "x.parquet")


def test_memory_does_not_follow_what_a_small_file_can_expand_to(tmp_path: Path) -> None:
    """A text of 900,000 characters in 4,000 rows: 3.6 GB, from a file of a few kilobytes."""
    rows = 4000
    table = pa.table(
        {
            "id": [str(k) for k in range(rows)],
            "instruction": pa.array(["q"] * rows),
            "response": pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(rows, "i4")), ["sea " * 225_000]
            ).cast(pa.dictionary(pa.int32(), pa.large_string())),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd")
    assert (tmp_path / "x.parquet").stat().st_size < 100_000
    code = (
        "import resource, sys\n"
        "from selfj_eval.judging.files import RecordFile\n"
        "from pathlib import Path\n"
        "from selfj_eval.records.reading import iter_records\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(RecordFile(Path(sys.argv[1])).survey().records)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.parquet")], capture_output=True, text=True
    )
    records, megabytes = map(int, done.stdout.split())
    assert records == rows
    assert megabytes < 700
