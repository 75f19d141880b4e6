"""Judging files of records, a window at a time: memory does not grow with their number."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from selfj_eval.files.atomic import remove_left_over
from selfj_eval.raters.prompting import WINDOW
from selfj_eval.raters.protocol import Progress, Rater
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.reading import iter_records, refuse_repeated_ids
from selfj_eval.records.record import Judgment, Record
from selfj_eval.records.row_writers import ParquetWriter
from selfj_eval.records.sources import iter_files
from selfj_eval.records.writing import fields_of, judgment_fields, judgment_rows, row_writer

NOTE = "selfj_eval"
"""Name of the note in a Parquet file of scores that says what it was made of."""
_CHARACTERS = 1 << 25  # of the texts of a window, unless one record alone has more
_ERRORS = 1000  # messages that are kept; all of them stand in the output


@dataclass(frozen=True)
class Survey:
    """What is known of a file once it has been read and checked.

    Attributes:
        records: How many it holds.
        rated: How many have a rating.
        fields: Optional fields that any of them has, sorted.
        notices: What was recognised, converted or ignored, as sentences.
        left_out: Those of them that say what was left out.
    """

    records: int
    rated: int
    fields: tuple[str, ...]
    notices: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass
class Totals:
    """What came of judging.

    Attributes:
        records, scored, unscored, rated: Counts of records.
        with_reference, trimmed: Counts of scored records.
        score: Sum over the scored records.
        massed: Scored records whose rater gave a digit mass.
        digit_mass: Sum over these.
        from_store: Records whose judgment was in the store.
        failed: Unscored records that the backend may score the next time.
        errors: Up to 1,000 lines ``id: why it is unscored``.
    """

    records: int = 0
    scored: int = 0
    unscored: int = 0
    rated: int = 0
    with_reference: int = 0
    trimmed: int = 0
    score: float = 0.0
    massed: int = 0
    digit_mass: float = 0.0
    from_store: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)

    def count(self, records: Iterable[Record], judgments: Iterable[Judgment]) -> None:
        """Add judged records."""
        for record, judgment in zip(records, judgments, strict=True):
            self.records += 1
            self.rated += record.rating is not None
            if judgment.score is None:
                self.unscored += 1
                if len(self.errors) < _ERRORS:
                    self.errors.append(f"{judgment.id}: {judgment.error}")
                continue
            self.scored += 1
            self.score += judgment.score
            if judgment.digit_mass is not None:
                self.massed += 1
                self.digit_mass += judgment.digit_mass
            self.with_reference += judgment.reference_used
            self.trimmed += judgment.trimmed_tokens > 0

    def add(self, other: Totals) -> None:
        """Add those of another file."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)
        del self.errors[_ERRORS:]


@dataclass(frozen=True)
class RecordFile:
    """A file of records, or several as one, read as often as need be.

    Attributes:
        path: The file.
        options: How it is read.
        limit: Only the first so many records, or None.
        others: Files that are read after it, as if they were one.
    """

    path: Path
    options: ReadOptions = field(default_factory=ReadOptions)
    limit: int | None = None
    others: tuple[Path, ...] = ()

    def __iter__(self) -> Iterator[Record]:
        return islice(self._all(), self.limit)

    def _all(self, notices: Notices | None = None) -> Iterator[Record]:
        if not self.others:
            return iter_records(self.path, options=self.options, notices=notices)
        files = (self.path, *self.others)
        return iter_files(files, options=self.options, notices=notices or Notices())

    def windows(self) -> Iterator[list[Record]]:
        """The records in lists that memory can hold."""
        return _windows(iter(self))

    def survey(self) -> Survey:
        """Read and check the whole file, also behind the limit.

        Raises:
            DataError: For the first record that is none, or an id that occurs twice.
        """
        ids, rated, fields, count, notices = array("q"), 0, set[str](), 0, Notices()
        for window in _windows(self._all(notices)):
            ids.extend(hash(record.id) for record in window)
            if self.limit is not None:
                window = window[: max(0, self.limit - count)]
            count += len(window)
            rated += sum(record.rating is not None for record in window)
            fields |= fields_of(window)
        self._refuse_repeated(np.frombuffer(ids, np.int64))
        said = (tuple(notices.sentences()), tuple(notices.why_left_out()))
        return Survey(count, rated, tuple(sorted(fields)), *said)

    def _refuse_repeated(self, hashes: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        """Eight bytes a record tell that ids differ; only those that may not are read again."""
        hashes.sort()
        doubtful = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        if doubtful:
            again = [(at, r) for at, r in enumerate(self._all()) if hash(r.id) in doubtful]
            path = None if self.others else self.path
            places = [(r.id, _place(r, at, path)) for at, r in again]
            refuse_repeated_ids(places, path=path, field=self.options.fields.get("id", "id"))

    def digest(self) -> str:
        """SHA-256 of the content, with how it is read where that was said."""
        with self.path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256")
        said = {name: getattr(self.options, name) for name in self.options.changed()}
        if fields := said.pop("fields", None):
            content.update(json.dumps(fields, sort_keys=True).encode())
        if said:
            content.update(json.dumps(said, sort_keys=True).encode())
        return content.hexdigest()


def score_file(
    judge: Rater,
    source: RecordFile,
    output: Path,
    *,
    survey: Survey,
    progress: Progress | None = None,
    note: Mapping[str, Any] | None = None,
    safe_csv: bool = False,
) -> Totals:
    """Judge the records of a file.

    Args:
        judge: The judge or rater; what it has in its store is not judged again. One that looks at
            all records together (``Prepared``) has to be prepared.
        source: The records.
        output: The scores file; it appears when it is complete.
        survey: Of the source.
        progress: Called as records finish.
        note: Kept in the output's metadata (Parquet), together with the totals.
        safe_csv: As for ``records.writing.row_writer``.

    Returns:
        The totals.

    Raises:
        StoreError: If the output or the store cannot be written.
    """
    remove_left_over(output)
    totals, stored, failed = Totals(), judge.from_store, judge.failed
    columns = judgment_fields(survey.fields, judge.description.get("criteria", ()))
    with row_writer(output, columns, safe_csv=safe_csv) as writer:
        for window in source.windows():
            judgments = judge.judge(window, progress=progress)
            totals.count(window, judgments)
            writer.write(judgment_rows(window, judgments))
        totals.from_store = judge.from_store - stored
        totals.failed = judge.failed - failed
        if note is not None and isinstance(writer, ParquetWriter):
            writer.note(NOTE, {**note, "totals": asdict(totals)})
    return totals


def _windows(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records in lists that memory can hold, whatever the length of their texts."""
    window, size = list[Record](), 0
    for record in records:
        window.append(record)
        size += len(record.question) + len(record.response) + len(record.reference or "")
        if len(window) == WINDOW or size >= _CHARACTERS:
            yield window
            window, size = [], 0
    if window:
        yield window


def _place(record: Record, at: int, path: Path | None) -> str:
    where = record.where or f"record {at + 1}"
    return where if path is None else where.rpartition(", ")[2]
