"""Signals and faults: a command ends at once, says so in one line, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.cli.command import watch
from selfj_eval.cli.guard import INTERNAL_ERROR, guarded
from selfj_eval.jobs.progress import steps

GO_ON = "run the same command again to continue."


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough for two workers to be at work for half a minute."""
    pytest.importorskip("datasketch", reason="the extra collect is not installed")
    pytest.importorskip("py3langid", reason="the extra collect is not installed")
    draw, folder = random.Random(5), tmp_path_factory.mktemp("downloads")
    words = [f"{a}{b}" for a in ("plan", "gard", "riv", "mount") for b in ("er", "en", "ing", "s")]
    for name, field in (("mbpp", "text"), ("qasc", "question")):
        (folder / name).mkdir()
        with (folder / name / "part-0.jsonl").open("w", encoding="utf-8") as stream:
            for number in range(40_000):
                text = f"How do I {' '.join(draw.choices(words, k=20))} in the {number}?"
                stream.write(json.dumps({field: text}) + "\n")
    return folder


def signals_by_default() -> None:
    """A runner in the background may ignore signals, and its children with it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def at_work(session: int) -> set[int]:
    """Processes of a session that have not ended."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("the system has no /proc")
    found = set()
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name, which may hold anything: state, parent, group, session.
            state, _, _, own = file.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(own) == session and state != "Z":
            found.add(int(file.parent.name))
    return found


@pytest.fixture
def collecting(downloads: Path, tmp_path: Path) -> Callable[..., tuple[Any, Path]]:
    """Starts a collection with two workers, and waits until both write."""

    def start(seconds: float = 0) -> tuple[subprocess.Popen[str], Path]:
        out = tmp_path / "out"
        command = [sys.executable, "-m", "selfj_eval", "collect", "run", "--from", downloads]
        command += ["--workers", "2", "--evaluation", "none", "--sources", "mbpp,qasc"]
        process = subprocess.Popen(
            [str(part) for part in [*command, "--output", out]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=signals_by_default,
        )
        deadline = time.monotonic() + 120
        while len(list(out.rglob("*.tmp"))) < 2 and time.monotonic() < deadline:
            assert process.poll() is None, "finished too early: nothing was tested"
            time.sleep(0.05)
        time.sleep(seconds)
        return process, out

    return start


def ended(session: int, seconds: float) -> set[int]:
    """Waits; the processes of a session that live then."""
    deadline = time.monotonic() + seconds
    while (left := at_work(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@pytest.mark.parametrize("moment", [0.0, 1.0])
def test_workers_do_not_outlive_a_killed_parent(
    collecting: Callable[..., Any], moment: float
) -> None:
    process, out = collecting(moment)
    assert len(at_work(process.pid)) >= 3
    process.kill()
    process.wait()
    assert not ended(process.pid, 5)
    assert not list(out.rglob("*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_workers_too(collecting: Callable[..., Any], number: int) -> None:
    process, out = collecting()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    what = "interrupted" if number == signal.SIGINT else "terminated"
    assert said.split("\n")[-2:] == [f"selfj: {what}; {GO_ON}", ""]
    assert "Traceback" not in said
    assert not ended(process.pid, 1)
    assert not list(out.rglob("*.tmp"))


def test_ctrl_c_at_a_terminal_goes_to_workers_as_well(collecting: Callable[..., Any]) -> None:
    process, out = collecting()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip().splitlines()[-1] == f"selfj: interrupted; {GO_ON}"
    assert "Traceback" not in said
    assert not list(out.rglob("*.tmp"))


def test_a_signal_while_the_command_is_still_imported() -> None:
    program = (
        "import importlib, os, signal, sys\n"
        "whole = importlib.import_module\n"
        "def slow(name):\n"
        "    if name.endswith('cli.doctor'): os.kill(os.getpid(), signal.SIGINT)\n"
        "    return whole(name)\n"
        "importlib.import_module = slow\n"
        "from selfj_eval.cli import main\n"
        "sys.exit(main(['doctor']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        preexec_fn=signals_by_default,
    )
    assert done.returncode == 130
    assert done.stderr == f"\nselfj: interrupted; {GO_ON}\n"


def test_a_signal_that_a_library_swallows_is_heard_at_the_next_record(
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished = []

    def run() -> int:
        with steps(watch, 3, "judged") as progress:
            for record in range(3):
                if record == 1:
                    try:
                        os.kill(os.getpid(), signal.SIGTERM)
                        time.sleep(1)
                    except KeyboardInterrupt:
                        pass  # as a callback of a library does
                progress(1)
                finished.append(record)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    assert guarded(run) == 143
    assert finished == [0]
    assert "terminated" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_hangup_that_nohup_ignores_is_ignored() -> None:
    program = (
        "import os, signal\nfrom selfj_eval.cli.guard import guarded\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "raise SystemExit(guarded(lambda: os.kill(os.getpid(), signal.SIGHUP) or 0))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_what_nobody_foresaw_is_one_line_and_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("MY_API_KEY", "sk-0123456789")

    def run() -> int:
        raise LookupError("no colour\nfor sk-0123456789")

    assert guarded(run) == INTERNAL_ERROR == 70
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(
        "selfj: error: an unexpected error in selfj-eval (LookupError: no colour). "
    )
    found = re.search(r"\S+selfj-error-\S+\.txt", said)
    assert found is not None
    text = Path(found.group()).read_text(encoding="utf-8")
    assert "Traceback" in text and "in run" in text and "no colour" in text
    assert re.search(r"^transformers \d", text, re.M)
    assert "0123456789" not in text


def test_a_fault_that_is_no_exception_of_python_is_caught(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Libraries written in Rust panic with an error that derives from BaseException."""

    class Panic(BaseException):
        pass

    def run() -> int:
        raise Panic("index out of range")

    assert guarded(run) == INTERNAL_ERROR
    assert "Panic: index out of range" in capsys.readouterr().err
