"""A ranking by a judge that is killed goes on where it was."""

from __future__ import annotations

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


def _kept(store: Path) -> dict[bytes, bytes]:
    if not store.exists():
        return {}
    with sqlite3.connect(store) as db:
        try:
            return dict(db.execute("SELECT key, log_probabilities FROM judgments").fetchall())
        except sqlite3.OperationalError:  # not made yet
            return {}


@pytest.mark.long
def test_killed_ranking_goes_on(command: Run, small_pack: Path, tmp_path: Path) -> None:
    arguments = ["alpaca", "rank", "--judge", "demo", "--judge", "length", "--resamples", "20"]
    whole = command("selfj", *arguments, "--output", tmp_path / "a", SELFJ_DATA=str(small_pack))
    assert whole.returncode == 0, whole.stderr

    # Small batches, so that there is a middle to be killed in.
    line = [str(Path(sys.executable).parent / "selfj"), *arguments, "--output", str(tmp_path / "b")]
    environment = os.environ | {"SELFJ_DATA": str(small_pack)}
    store = tmp_path / "b" / "judgments.store"
    process = subprocess.Popen(
        [*line, "--batch-tokens", "64"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(_kept(store)) < 30 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was over before it could be killed"
    kept = _kept(store)
    total = len(_kept(tmp_path / "a" / "judgments.store"))
    assert 30 <= len(kept) < total
    assert not (tmp_path / "b" / "agreement.csv").exists()

    again = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    after = _kept(store)
    assert len(after) == total
    assert kept.items() <= after.items()  # not judged again
    for name in ("agreement.csv", "models_demo.csv", "models_length.csv"):
        rows = [list(csv.DictReader((tmp_path / d / name).open())) for d in "ab"]
        assert len(rows[0]) == len(rows[1]) > 0
        for first, second in zip(*rows, strict=True):
            for column, value in first.items():
                try:
                    number = float(value)
                except ValueError:
                    assert second[column] == value
                else:
                    assert float(second[column]) == pytest.approx(number, abs=1e-3)
