"""Ray: the judgments of one process, a worker's death costs nothing, errors come back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from selfj_eval import Judge, Record, write_records
from selfj_eval.demo import ladder

pytest.importorskip("ray", reason="Ray is not installed")

FILES, EACH = 6, 30
RECORDS = ladder("test", instructions=60)[: FILES * EACH]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "answers"
    path.mkdir()
    for k in range(FILES):
        write_records(path / f"part-{k}.parquet", RECORDS[k * EACH : (k + 1) * EACH])
    return path


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    command = ["score", folder, "--judge", "demo", "--engine", "ray", "--workers", 2, *arguments]
    return subprocess.Popen(
        [sys.executable, "-m", "selfj_eval", *map(str, command)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Process ids of the judges that Ray runs for it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
            session = os.getsid(int(folder.name))
        except (OSError, ValueError):
            continue
        if b"ray::MapWorker" in name and session == os.getsid(process.pid):
            found.append(int(folder.name))
    return found


@pytest.mark.long
def test_a_killed_worker_costs_no_record(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    process = start(folder, "--output", output, "--batch-tokens", 300, "--json")
    deadline = time.monotonic() + 120
    killed = 0
    while process.poll() is None and time.monotonic() < deadline and not killed:
        # In the middle of a partition, so that something is there to lose.
        if list(output.glob(".*.store")) and (alive := workers(process)):
            os.kill(alive[0], signal.SIGKILL)
            killed = alive[0]
        time.sleep(0.01)
    out, error = process.communicate(timeout=240)
    assert killed and process.returncode == 0, error
    summary = json.loads(out)
    assert summary["records"] == summary["scored"] == len(RECORDS)
    rows = [
        row for k in range(FILES) for row in pq.read_table(output / f"part-{k}.parquet").to_pylist()
    ]
    assert [row["id"] for row in rows] == [record.id for record in RECORDS]
    alone = Judge.load("demo").judge(RECORDS)
    np.testing.assert_allclose(
        [row["score"] for row in rows], [judgment.score for judgment in alone], atol=1e-4
    )
    assert sorted(file.name for file in output.iterdir()) == [
        *(f"part-{k}.parquet" for k in range(FILES)), "run.json",
    ]  # fmt: skip
    assert json.loads((output / "run.json").read_text())["judge"]["identity"]["dtype"] == "float32"
    # The same folder again, in this process: everything is there.
    again = subprocess.run(
        [sys.executable, "-m", "selfj_eval", "score", str(folder), "--judge", "demo", "--json",
         "--output", str(output), "--batch-tokens", "300"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(again.stdout)["from_store"] == len(RECORDS)


def test_a_worker_s_error_is_the_user_s(folder: Path) -> None:
    write_records(folder / "part-3.parquet", [Record("x", "Add.", "3"), Record("x", "Add.", "4")])
    _, error = (process := start(folder)).communicate(timeout=240)
    assert process.returncode == 2
    assert "part-3.parquet, row 2, field 'id': 'x' occurs twice" in error
    assert "Traceback" not in error
