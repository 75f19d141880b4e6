"""Judgments on disk: keyed by content, safe against a kill at any moment, resumable."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from selfj_eval.errors import StoreError

_FORMAT = 1
_LOOKUP = 500  # SQLite's oldest limit on parameters is 999


class Stored(NamedTuple):
    """What is kept of a finished judgment.

    Attributes:
        log_probabilities: Ten natural logarithms, of the probabilities of "0".."9".
        trimmed_tokens: Tokens that were cut from the record to fit the prompt.
    """

    log_probabilities: tuple[float, ...]
    trimmed_tokens: int


class JudgmentStore:
    """A file with finished judgments, by key.

    The file is an SQLite database in write-ahead mode: what ``put`` has returned from
    survives a kill of the process. Several processes may share it. Not for network file
    systems (a limit of SQLite).

    Args:
        path: The file; made if it does not exist, in an existing folder.

    Raises:
        StoreError: If the file cannot be opened or is not a judgment store.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            # No implicit transactions: Python's would leave out CREATE TABLE.
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA synchronous=NORMAL")
            with self._transaction():
                self._create()
            self._db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.Error as error:
            raise self._error(error) from error

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
        if version == _FORMAT:
            return
        if version or tables:
            raise StoreError(
                f"{self.path} is a database, but not a judgment store of this version; "
                "name another file with --store."
            )
        self._db.execute(
            "CREATE TABLE judgments (key BLOB PRIMARY KEY, log_probabilities BLOB NOT NULL, "
            "trimmed_tokens INTEGER NOT NULL) WITHOUT ROWID"
        )
        self._db.execute(f"PRAGMA user_version={_FORMAT}")

    def __enter__(self) -> JudgmentStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM judgments").fetchone()[0])

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Stored]:
        """The stored ones among ``keys``."""
        found: dict[bytes, Stored] = {}
        try:
            for start in range(0, len(keys), _LOOKUP):
                part = keys[start : start + _LOOKUP]
                marks = ",".join("?" * len(part))
                rows = self._db.execute(
                    f"SELECT key, log_probabilities, trimmed_tokens FROM judgments "
                    f"WHERE key IN ({marks})",
                    part,
                )
                for key, blob, trimmed in rows:
                    found[key] = Stored(tuple(np.frombuffer(blob, "<f8").tolist()), trimmed)
        except sqlite3.Error as error:
            raise self._error(error) from error
        return found

    def put(self, judgments: Mapping[bytes, Stored]) -> None:
        """Keep finished judgments; all of them or, when this raises, none.

        A key that is already there keeps its first judgment.

        Raises:
            StoreError: If they cannot be written, for example because the disk is full.
        """
        rows = [
            (key, np.asarray(stored.log_probabilities, "<f8").tobytes(), stored.trimmed_tokens)
            for key, stored in judgments.items()
        ]
        try:
            with self._transaction():
                self._db.executemany("INSERT OR IGNORE INTO judgments VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._db.close()

    def _error(self, error: sqlite3.Error) -> StoreError:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            advice = "the disk is full. What was finished is kept: free space and run it again."
        elif name in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
            advice = "it is not a judgment store, or is damaged. Name another file with --store."
        elif name.startswith("SQLITE_CANTOPEN"):
            advice = "it cannot be opened. Does its folder exist, and may you write there?"
        elif name.startswith("SQLITE_BUSY"):
            advice = "another process has held it for a minute. Wait, or name another file."
        elif name.startswith(("SQLITE_READONLY", "SQLITE_IOERR")):
            advice = f"it cannot be written ({error}). Is the disk full or write-protected?"
        else:
            advice = str(error)
        return StoreError(f"judgment store {self.path}: {advice}")
