"""The texts of many answers in a temporary SQLite file: found by words, read by number."""

from __future__ import annotations

import sqlite3
import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import StoreError
from selfj_eval.judging.scored_rows import Scored
from selfj_eval.workbench.search_terms import Terms

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
CREATE TABLE answers (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL, question TEXT, response TEXT, reference TEXT,
    asked BLOB
);
CREATE INDEX answers_id ON answers (id);
CREATE INDEX answers_asked ON answers (asked);
CREATE TABLE judged (
    n INTEGER, file INTEGER, place TEXT NOT NULL, error TEXT, probabilities BLOB,
    PRIMARY KEY (n, file)
) WITHOUT ROWID;
"""
_SEARCH = """
CREATE VIRTUAL TABLE search USING fts5(
    id, question, response, reference, content = '', tokenize = 'unicode61 remove_diacritics 2'
)
"""
_CHUNK = 2000  # answers that are indexed at a time
_SEARCHED = ("id", "question", "response", "reference")
_ANYWHERE = " OR ".join(rf"{name} LIKE ? ESCAPE '\'" for name in _SEARCHED)


class Texts(NamedTuple):
    """What is read of an answer.

    Attributes:
        n: Its number, from 0.
        id: As in the file.
        question, response, reference: The texts, or None.
    """

    n: int
    id: str
    question: str | None
    response: str | None
    reference: str | None


class Verdict(NamedTuple):
    """What one file says of an answer, beside the score.

    Attributes:
        file: Number of the file, from 0.
        place: Where in it, such as ``line 3``.
        error: Why the answer is unscored, or None.
        probabilities: Of the judge's labels, or None.
    """

    file: int
    place: str
    error: str | None
    probabilities: Sequence[float] | None


class AnswerStore:
    """Answers on disk, numbered from 0 in the order in which they were added.

    Threads can share it.

    Args:
        folder: Where its file is made.
        indexed: Whether words are looked up in an index, if SQLite has FTS5. Without, all texts
            are read for each search.
    """

    def __init__(self, folder: Path, *, indexed: bool = True) -> None:
        self._lock = threading.Lock()
        self._file = folder / "answers.sqlite"
        self._size = 0
        with self._connected():
            # One connection, used by one thread at a time.
            self._connection = sqlite3.connect(self._file, check_same_thread=False)
            self._connection.executescript(_TABLES)
        self._indexed = indexed and self._make_index()

    def __len__(self) -> int:
        return self._size

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._connection.close()

    def add(self, answer: Scored) -> int:
        """Add an answer; returns its number."""
        n, question = self._size, answer.question
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?)",
                (n, answer.id, question, answer.response, answer.reference, _digest(question)),
            )
        self._size += 1
        return n

    def complete(self, n: int, answer: Scored) -> None:
        """Add the texts of an answer that were missing."""
        with self._connected() as connection:
            connection.execute(
                "UPDATE answers SET question = coalesce(question, ?), asked = coalesce(asked, ?), "
                "response = coalesce(response, ?), reference = coalesce(reference, ?) WHERE n = ?",
                (answer.question, _digest(answer.question), answer.response, answer.reference, n),
            )

    def add_verdict(self, n: int, verdict: Verdict) -> None:
        """Add what a file says of an answer."""
        file, place, error, probabilities = verdict
        packed = None if probabilities is None else array("f", probabilities).tobytes()
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO judged VALUES (?, ?, ?, ?, ?)", (n, file, place, error, packed)
            )

    def index(self) -> Iterator[int]:
        """Make the answers findable, a part at a time; gives how many more are done."""
        for first in range(0, self._size, _CHUNK):
            end = min(first + _CHUNK, self._size)
            if self._indexed:
                with self._connected() as connection:
                    connection.execute(
                        "INSERT INTO search (rowid, id, question, response, reference) "
                        "SELECT n, id, question, response, reference FROM answers "
                        "WHERE n >= ? AND n < ?",
                        (first, end),
                    )
            yield end - first
        with self._connected() as connection:
            connection.commit()

    def with_id(self, identity: str) -> list[Texts]:
        """The answers with an id; several where files have different answers of one id."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT n, id, question, response, reference FROM answers WHERE id = ? ORDER BY n",
                (identity,),
            )
            return [Texts(*row) for row in rows]

    def place(self, n: int, file: int) -> str | None:
        """Where an answer stands in a file; None if it is not in it."""
        with self._connected() as connection:
            found = connection.execute(
                "SELECT place FROM judged WHERE n = ? AND file = ?", (n, file)
            ).fetchone()
        return None if found is None else str(found[0])

    def texts(self, numbers: Sequence[int]) -> list[Texts]:
        """The texts of answers, in the order of their numbers here."""
        marks = ", ".join("?" * len(numbers))
        with self._connected() as connection:
            rows = connection.execute(
                f"SELECT n, id, question, response, reference FROM answers WHERE n IN ({marks})",
                [*numbers],
            )
            found = {row[0]: Texts(*row) for row in rows}
        return [found[n] for n in numbers]

    def verdicts(self, n: int) -> list[Verdict]:
        """What each file says of an answer, in the order of the files."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT file, place, error, probabilities FROM judged WHERE n = ? ORDER BY file",
                (n,),
            ).fetchall()
        return [
            Verdict(file, place, error, None if packed is None else array("f", packed).tolist())
            for file, place, error, packed in rows
        ]

    def siblings(self, n: int, limit: int) -> list[int]:
        """Numbers of the other answers to the same question, at most ``limit``."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT b.n FROM answers a JOIN answers b ON b.asked = a.asked "
                "WHERE a.n = ? AND b.n != a.n ORDER BY b.n LIMIT ?",
                (n, limit),
            )
            return [int(row[0]) for row in rows]

    def matching(self, terms: Terms) -> npt.NDArray[np.int64]:
        """Numbers of the answers that contain every term, ascending.

        Args:
            terms: At least one.
        """
        by_word = terms.words if self._indexed else ()
        scanned = terms.others if self._indexed else (*terms.words, *terms.others)
        conditions, values = [], list[str]()
        if by_word:
            conditions.append("n IN (SELECT rowid FROM search WHERE search MATCH ?)")
            values.append(" AND ".join(map(_as_match, by_word)))
        for term in scanned:
            conditions.append(f"({_ANYWHERE})")
            values += [f"%{_escaped(term)}%"] * len(_SEARCHED)
        if not scanned:
            command = "SELECT rowid FROM search WHERE search MATCH ? ORDER BY rowid"
        else:
            command = f"SELECT n FROM answers WHERE {' AND '.join(conditions)} ORDER BY n"
        with self._connected() as connection:
            rows: list[Any] = connection.execute(command, values).fetchall()
        return np.fromiter((row[0] for row in rows), np.int64, len(rows))

    def _make_index(self) -> bool:
        """Whether this SQLite can look words up."""
        try:
            self._connection.execute(_SEARCH)
        except sqlite3.OperationalError:
            return False
        return True

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield getattr(self, "_connection", None)  # type: ignore[misc]
            except sqlite3.Error as error:
                raise StoreError(
                    f"{self._file}: the answers cannot be kept there ({error}). Free space, or "
                    "name another folder in the environment variable TMPDIR."
                ) from error


def _digest(text: str | None) -> bytes | None:
    return None if text is None else blake2b(text.encode(), digest_size=12).digest()


def _as_match(term: str) -> str:
    """A term in the language of FTS5: a word matches longer ones that begin with it."""
    quoted = '"' + term.replace('"', '""') + '"'
    return quoted if " " in term else f"{quoted}*"


def _escaped(term: str) -> str:
    """A term without the wildcards of LIKE."""
    return term.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
