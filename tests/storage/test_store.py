from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from selfj_eval.errors import StoreError
from selfj_eval.files.atomic import atomic_write
from selfj_eval.storage.store import JudgmentStore, Stored


def stored(number: int) -> Stored:
    return Stored(tuple(-float(number + k) for k in range(10)), number)


def test_what_was_put_is_there_after_reopening(tmp_path: Path) -> None:
    rows = {os.urandom(32): stored(i) for i in range(1200)}
    with JudgmentStore(tmp_path / "s") as store:
        store.put(rows)
    with JudgmentStore(tmp_path / "s") as store:
        assert store.get([*rows, b"absent"]) == rows
        assert len(store) == 1200


def test_the_first_judgment_of_a_key_stays(tmp_path: Path) -> None:
    with JudgmentStore(tmp_path / "s") as store:
        store.put({b"k": stored(1)})
        store.put({b"k": stored(2), b"l": stored(3)})
        assert store.get([b"k", b"l"]) == {b"k": stored(1), b"l": stored(3)}


KILLED_WHILE_CREATING = """
import os, signal, sqlite3, sys
from selfj_eval.storage import store

class Connection(sqlite3.Connection):
    statements = 0
    def execute(self, *arguments):
        Connection.statements += 1
        if Connection.statements == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*arguments)

connect = sqlite3.connect
store.sqlite3.connect = lambda *a, **k: connect(*a, factory=Connection, **k)
store.JudgmentStore(sys.argv[1])
print("made")
"""


def test_a_kill_while_the_store_is_made_leaves_it_usable(tmp_path: Path) -> None:
    kills = 0
    for statement in range(1, 12):
        path = tmp_path / f"{statement}.store"
        program = [sys.executable, "-c", KILLED_WHILE_CREATING, str(path), str(statement)]
        done = subprocess.run(program, capture_output=True, text=True)
        kills += done.returncode == -signal.SIGKILL
        with JudgmentStore(path) as store:
            store.put({b"k": stored(1)})
            assert store.get([b"k"]) == {b"k": stored(1)}
    assert kills >= 6


def test_processes_that_make_and_fill_one_store_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from selfj_eval.storage.store import *\n"
        "with JudgmentStore(sys.argv[1]) as s:\n"
        "    for i in range(50): s.put({f'{sys.argv[2]}-{i}'.encode(): Stored((-1.0,) * 10, 0)})"
    )
    program = [sys.executable, "-c", code, str(tmp_path / "s")]
    running = [subprocess.Popen([*program, str(n)]) for n in range(4)]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    with JudgmentStore(tmp_path / "s") as store:
        assert len(store) == 200


def test_two_connections_may_share_a_store(tmp_path: Path) -> None:
    with JudgmentStore(tmp_path / "s") as one, JudgmentStore(tmp_path / "s") as two:
        one.put({b"a": stored(1)})
        two.put({b"b": stored(2)})
        assert one.get([b"a", b"b"]) == two.get([b"a", b"b"]) == {b"a": stored(1), b"b": stored(2)}


def test_foreign_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be looked at as one" * 20)
    with pytest.raises(StoreError, match=r"notes\.txt: it is not a judgment store, or is damaged"):
        JudgmentStore(text)
    assert text.read_text().startswith("not a database")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE mine (x)")
    with pytest.raises(StoreError, match=r"other\.db is a database, but not a judgment store"):
        JudgmentStore(other)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened. Does its folder exist"):
        JudgmentStore(tmp_path / "no" / "s")


def test_full_disk(small_disk: Path) -> None:
    target = small_disk / "scores.jsonl"
    target.write_text("old")
    kept: dict[bytes, Stored] = {}
    with JudgmentStore(small_disk / "s") as store:
        with pytest.raises(StoreError, match="the disk is full. What was finished is kept"):
            for i in range(10_000):
                row = {os.urandom(32): stored(i)}
                store.put(row)
                kept |= row
        assert kept
        assert store.get(list(kept)) == kept
    with pytest.raises(StoreError, match=r"scores\.jsonl: the disk is full, so nothing"):  # noqa: SIM117
        with atomic_write(target) as stream:
            stream.write(b"x" * 1_000_000)
    assert target.read_text() == "old"
    assert not list(small_disk.glob("*.tmp"))


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(target) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["out.json"]


def test_files_get_the_usual_permissions(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as stream:
        stream.write(b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_row_without_numbers_is_damaged(tmp_path: Path) -> None:
    with JudgmentStore(tmp_path / "s") as store:
        store.put({b"a": stored(1)})
    with sqlite3.connect(tmp_path / "s") as db:
        db.execute("UPDATE judgments SET log_probabilities = x''")
    with JudgmentStore(tmp_path / "s") as store, pytest.raises(StoreError, match="damaged"):
        store.get([b"a"])
