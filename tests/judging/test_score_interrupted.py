"""Long runs of ``selfj score``: kills, full disks, interruptions, progress."""

from __future__ import annotations

import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import JudgmentStore, write_records
from selfj_eval.demo import demo_records, ladder


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


INSTRUMENTED = """
import json, os, sys
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.storage.store import JudgmentStore

log = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
put = JudgmentStore.put
def logged_put(self, judgments):
    keys = [key.hex() for key in judgments]
    os.write(log, ("\\n" + json.dumps(["computed", keys])).encode())
    put(self, judgments)
    os.write(log, ("\\n" + json.dumps(["kept", keys])).encode())
JudgmentStore.put = logged_put

from selfj_eval.cli import main
sys.exit(main())
"""


@pytest.mark.long
def test_killed_ten_times_nothing_is_lost_or_computed_twice(tmp_path: Path) -> None:
    """kill -9 at random moments; the log of the runs tells what was computed and kept when."""
    rng = random.Random(7)
    source, log = tmp_path / "ladder.jsonl", tmp_path / "log"
    records = ladder("train", instructions=300)
    write_records(source, records)
    batch_tokens = 600

    def start(output: str, log: Path) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-c", INSTRUMENTED, log, "score", source, "--judge", "demo"]
        arguments += ["--output", tmp_path / output, "--batch-tokens", batch_tokens]
        return subprocess.Popen(
            list(map(str, arguments)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    whole = start("whole.jsonl", tmp_path / "log of whole")
    assert whole.wait(timeout=300) == 0, whole.stderr
    store = tmp_path / "out.jsonl.store"
    kills_in_the_middle = 0
    for _ in range(10):
        process = start("out.jsonl", log)
        before = log.stat().st_size if log.exists() else 0
        # Wait until it judges, then strike within the next moments; sometimes strike before.
        patience = rng.choice([1.0, 60.0, 60.0, 60.0])
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and process.poll() is None:
            if log.exists() and log.stat().st_size > before:
                time.sleep(rng.uniform(0, 0.4))
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "out.jsonl").exists(), "finished too early: nothing was tested"
        if store.exists():
            with JudgmentStore(store) as kept:
                kills_in_the_middle += 0 < len(kept) < len(records)
    assert kills_in_the_middle >= 7
    last = start("out.jsonl", log)
    assert last.wait(timeout=300) == 0

    # Batches depend on what is left, and float32 sums on the batch: equal but for rounding.
    out, undisturbed = read_jsonl(tmp_path / "out.jsonl"), read_jsonl(tmp_path / "whole.jsonl")
    assert [row["id"] for row in out] == [row["id"] for row in undisturbed]
    for row, wanted in zip(out, undisturbed, strict=True):
        assert row["score"] == pytest.approx(wanted["score"], abs=1e-5)
        assert {**row, "score": 0, "digit_mass": 0, "probabilities": 0} == {
            **wanted, "score": 0, "digit_mass": 0, "probabilities": 0
        }  # fmt: skip
    lines = [line for line in log.read_text().splitlines() if line]
    events = [json.loads(line) for line in lines if line.endswith("]]")]
    assert len(lines) - len(events) <= 10, "a kill cuts one line at most"
    kept_keys = collections.Counter(k for kind, keys in events if kind == "kept" for k in keys)
    computed = collections.Counter(k for kind, keys in events if kind == "computed" for k in keys)
    assert max(kept_keys.values()) == 1, "a finished judgment was computed again"
    twice = [key for key, times in computed.items() if times > 1]
    largest_batch = max(len(keys) for kind, keys in events if kind == "computed")
    assert len(twice) <= 10 * largest_batch


def test_a_full_disk_is_one_line_and_nothing_half(
    in_process: Any, small_disk: Path, tmp_path: Path
) -> None:
    source, output = tmp_path / "ladder.jsonl", small_disk / "out.jsonl"
    write_records(source, ladder("train", instructions=100))
    done = in_process("selfj", "score", source, "--judge", "demo", "--output", output)
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not [file.name for file in small_disk.iterdir() if ".store" not in file.name]
    with JudgmentStore(f"{output}.store") as store:
        kept = len(store)
    assert 0 < kept < 1000


def test_an_interruption_says_how_to_go_on(tmp_path: Path) -> None:
    source = tmp_path / "ladder.jsonl"
    write_records(source, ladder("train", instructions=300))
    log = tmp_path / "log"
    process = subprocess.Popen(
        [sys.executable, "-c", INSTRUMENTED, log, "score", source, "--judge", "demo",
         "--output", tmp_path / "out.jsonl", "--batch-tokens", "300"],
        stderr=subprocess.PIPE, text=True,
        # A runner in the background may ignore SIGINT, and its children with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    while not (log.exists() and log.stat().st_size) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; run the same command again to continue" in errors
    assert "Traceback" not in errors


def test_progress_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    source = tmp_path / "ladder.jsonl"
    write_records(source, demo_records()[:50])
    selfj = Path(sys.executable).parent / "selfj"
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [selfj, "score", source, "--judge", "demo", "--output", tmp_path / "o.jsonl"],
        stdout=follower, stderr=follower,
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while True:
        try:
            shown += os.read(leader, 4096)
        except OSError:
            break
    assert process.wait() == 0
    assert b"judged: 100%" in shown
    assert b"50 of 50 records judged" in shown


def test_progress_lines_come_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfj_eval.jobs.progress import Bar, steps

    now = [0.0]
    monkeypatch.setattr("selfj_eval.jobs.progress.time.monotonic", lambda: now[0])
    with steps(Bar(), 1000, "judged") as progress:
        for _ in range(20):
            now[0] += 1.0
            progress(50)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"judged {5 * k * 50:,} of 1,000 records, 50.0 a second" for k in range(1, 5)]
