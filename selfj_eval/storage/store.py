"""Finished work on disk: keyed by content, safe against a kill at any moment, resumable."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

from selfj_eval.errors import StoreError, printable
from selfj_eval.files.documents import parse_json
from selfj_eval.jobs.arguments import items

_LOOKUP = 500  # SQLite's oldest limit on parameters is 999


class Stored(NamedTuple):
    """What is kept of a finished judgment.

    Attributes:
        log_probabilities: Natural logarithms of the labels' probabilities, of Self-J's digits ten.
        trimmed_tokens: Tokens that were cut from the record to fit the prompt.
    """

    log_probabilities: tuple[float, ...]
    trimmed_tokens: int


class Measure(NamedTuple):
    """A rater's number for an answer.

    Attributes:
        value: Finite.
        trimmed_tokens: Tokens of the texts that it was not made of, because they did not fit.
    """

    value: float
    trimmed_tokens: int = 0


class Answer(NamedTuple):
    """A generated answer.

    Attributes:
        text: The text, without white space around it.
        finish: ``stop`` when the model ended it, ``length`` when it was cut at the limit.
    """

    text: str
    finish: str


Value = TypeVar("Value")


class _Store(ABC, Generic[Value]):
    """A file with finished work, by key.

    The file is an SQLite database in write-ahead mode: what ``put`` has returned from
    survives a kill of the process. Several processes may share it, and several threads one store.
    Not for network file systems (a limit of SQLite).

    Args:
        path: The file; made if it does not exist, in an existing folder.
        alone: No other process has it open at the same time; needs no shared memory then, which
            network file systems do not have.

    Raises:
        StoreError: If the file cannot be opened or is not a store of this kind.
    """

    _KIND: ClassVar[str]  # with its article, for messages
    _VALUE: ClassVar[str]  # what is kept, for messages
    _FORMAT: ClassVar[int]  # marks the file; no two kinds of store share one
    _TABLE: ClassVar[str]
    _COLUMNS: ClassVar[tuple[str, ...]]  # after the key
    _SCHEMA: ClassVar[str]

    def __init__(self, path: str | Path, *, alone: bool = False) -> None:
        self.path = Path(path)
        self._lock = RLock()  # one connection: its statements and transactions are a thread's own
        try:
            # No implicit transactions: Python's would leave out CREATE TABLE.
            self._db = sqlite3.connect(
                self.path, timeout=60, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA synchronous=NORMAL")
            if alone:
                self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            with self._transaction():
                self._create()
            self._db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.Error as error:
            raise self._error(error) from error

    @abstractmethod
    def _to_row(self, value: Value) -> tuple[Any, ...]:
        """A value as the columns after its key."""

    @abstractmethod
    def _from_row(self, row: Sequence[Any]) -> Value:
        """The value in the columns after its key.

        Raises:
            ValueError: If they hold something else; SQLite does not check the types of columns.
        """

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, also for another process and after a kill."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # a full disk has already ended it
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _create(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == self._FORMAT:
            return
        if version or tables:
            raise StoreError(
                f"{self.path} is a database, but not {self._KIND} of this version; "
                "name another file with `store`."
            )
        self._db.execute(self._SCHEMA)
        self._db.execute(f"PRAGMA user_version={self._FORMAT}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._rows(f"SELECT count(*) FROM {self._TABLE}")[0][0])

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Value]:
        """The stored ones among ``keys``.

        Raises:
            StoreError: If the file cannot be read.
            TypeError: If ``keys`` is no iterable of keys.
        """
        wanted = items(keys, bytes, f"{type(self).__name__}.get()")
        found: dict[bytes, Value] = {}
        columns = ", ".join(self._COLUMNS)
        for start in range(0, len(wanted), _LOOKUP):
            part = wanted[start : start + _LOOKUP]
            marks = ",".join("?" * len(part))
            select = f"SELECT key, {columns} FROM {self._TABLE} WHERE key IN ({marks})"
            for key, *row in self._rows(select, part):
                try:
                    found[key] = self._from_row(row)
                except (ValueError, TypeError, struct.error) as error:
                    raise StoreError(
                        f"{self._named}: what it keeps under {key.hex()} is damaged. Remove the "
                        "file, or name another with `store`."
                    ) from error
        return found

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def put(self, values: Mapping[bytes, Value]) -> None:
        """Keep finished work; all of it or, when this raises, none.

        A key that is already there keeps its first value.

        Raises:
            StoreError: If it cannot be written, for example because the disk is full.
            TypeError: If it is no mapping of keys to the store's own values.
        """
        taken = f"{type(self).__name__}.put() takes a mapping of keys (bytes) to {self._VALUE}"
        try:
            rows = [(bytes(memoryview(key)), *self._to_row(v)) for key, v in values.items()]
        except (TypeError, ValueError, AttributeError, struct.error) as error:
            raise TypeError(f"{taken}; got {type(values).__name__} ({error}).") from error
        marks = ", ".join("?" * (1 + len(self._COLUMNS)))
        try:
            with self._lock, self._transaction():
                self._db.executemany(f"INSERT OR IGNORE INTO {self._TABLE} VALUES ({marks})", rows)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with self._lock:
            self._db.close()

    def _error(self, error: sqlite3.Error) -> StoreError:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            advice = "the disk is full. What was finished is kept: free space and run it again."
        elif name in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
            advice = f"it is not {self._KIND}, or is damaged. Name another file with `store`."
        elif len(os.fsencode(f"{self.path.name}-journal")) > 255:  # of all usual file systems
            advice = "its name is too long for the files beside it. Name a shorter one."
        elif name.startswith("SQLITE_CANTOPEN"):
            advice = "it cannot be opened. Does its folder exist, and may you write there?"
        elif name.startswith("SQLITE_BUSY"):
            advice = "another process has held it for a minute. Wait, or name another file."
        elif name.startswith(("SQLITE_READONLY", "SQLITE_IOERR")):
            advice = f"it cannot be written ({error}). Is the disk full or write-protected? Or is "
            advice += "another run at work on the same output?"
        else:
            advice = str(error)
        return StoreError(f"{self._named}: {advice}")

    @property
    def _named(self) -> str:
        return f"{self._KIND.partition(' ')[2]} {printable(self.path)}"


class JudgmentStore(_Store[Stored]):
    """A file with finished judgments, by key (``Judge.key``). Everything else: as ``_Store``."""

    _KIND = "a judgment store"
    _VALUE = "Stored"
    _FORMAT = 1
    _TABLE = "judgments"
    _COLUMNS = ("log_probabilities", "trimmed_tokens")
    _SCHEMA = (
        "CREATE TABLE judgments (key BLOB PRIMARY KEY, log_probabilities BLOB NOT NULL, "
        "trimmed_tokens INTEGER NOT NULL) WITHOUT ROWID"
    )

    def _to_row(self, value: Stored) -> tuple[Any, ...]:
        numbers = value.log_probabilities
        # int(): SQLite knows no numbers of numpy's.
        return struct.pack(f"<{len(numbers)}d", *numbers), int(value.trimmed_tokens)

    def _from_row(self, row: Sequence[Any]) -> Stored:
        if not row[0]:
            raise ValueError("no numbers")
        return Stored(struct.unpack(f"<{len(row[0]) // 8}d", row[0]), _count(row[1]))


class MeasureStore(_Store[Measure]):
    """A file with raters' numbers, by key (``StoredRater.key``). Everything else: as ``_Store``."""

    _KIND = "a store of measures"
    _VALUE = "Measure"
    _FORMAT = 201
    _TABLE = "measures"
    _COLUMNS = ("value", "trimmed_tokens")
    _SCHEMA = (
        "CREATE TABLE measures (key BLOB PRIMARY KEY, value REAL NOT NULL, "
        "trimmed_tokens INTEGER NOT NULL) WITHOUT ROWID"
    )

    def _to_row(self, value: Measure) -> tuple[Any, ...]:
        return float(value.value), int(value.trimmed_tokens)

    def _from_row(self, row: Sequence[Any]) -> Measure:
        if not isinstance(row[0], float) or not math.isfinite(row[0]):
            raise ValueError("no finite number")
        return Measure(row[0], _count(row[1]))


class AnswerStore(_Store[tuple[Answer, ...]]):
    """A file with generated answers, by key (``generation.key``): all samples of a key together."""

    _KIND = "an answer store"
    _VALUE = "tuples of Answer"
    _FORMAT = 101
    _TABLE = "answers"
    _COLUMNS = ("answers",)
    # With a rowid, unlike judgments: long texts do not belong into the index itself.
    _SCHEMA = "CREATE TABLE answers (key BLOB PRIMARY KEY, answers TEXT NOT NULL)"

    def _to_row(self, value: tuple[Answer, ...]) -> tuple[Any, ...]:
        return (json.dumps([[answer.text, answer.finish] for answer in value]),)

    def _from_row(self, row: Sequence[Any]) -> tuple[Answer, ...]:
        found = tuple(Answer(text, finish) for text, finish in parse_json(row[0]))
        if not all(isinstance(part, str) for answer in found for part in answer):
            raise ValueError("no texts")
        return found


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("no count")
    return value
