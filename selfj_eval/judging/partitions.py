"""A folder of Parquet files, judged file by file: each is a partition with an output of its own."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, some
from selfj_eval.files.parquet_notes import read_note
from selfj_eval.judging.files import NOTE, RecordFile, Survey, Totals, score_file
from selfj_eval.raters.judge import Judge
from selfj_eval.raters.protocol import Progress, Rater
from selfj_eval.records.options import ReadOptions
from selfj_eval.storage.store import JudgmentStore

_READING = 3  # raise when the same rows become other records


@dataclass(frozen=True)
class Partition:
    """One file of a folder.

    Attributes:
        source: The records.
        output: Its scores file.
        sha256: Hash of the input.
        note: What a finished output says of how it was made, or None.
    """

    source: RecordFile
    output: Path
    sha256: str
    note: Mapping[str, Any] | None

    @property
    def finished(self) -> Totals | None:
        """The totals of the finished output; None if there is none.

        Nor is it finished when the input has changed since, or the judge failed on a record.
        """
        same = {"input_sha256": self.sha256, "reading": _READING}
        if self.note is None or any(self.note[name] != value for name, value in same.items()):
            return None
        totals = Totals(**self.note["totals"])
        return None if totals.failed else totals

    def check(self, judge: Rater) -> None:
        """Refuse an output that another judge has made.

        Raises:
            DataError: If it has.
        """
        if self.note is not None and self.note["judge"] != made_by(judge):
            raise DataError(
                "holds scores of another judge, or made with other settings; name another "
                "`output`.",
                path=self.output,
            )

    def survey(self, progress: Progress | None = None) -> Survey:
        """Read and check the input, if that was not done for the finished output.

        Raises:
            DataError: For the first record that is none.
        """
        done = self.finished
        found = self.source.survey() if done is None else Survey(done.records, done.rated, ())
        if progress is not None:
            progress(1)
        return found

    def score(self, judge: Rater, survey: Survey, progress: Progress | None = None) -> Totals:
        """Judge it, if that is not done.

        A store beside the output keeps what is finished until all of it is.

        Args:
            judge: The judge; it gets that store.
            survey: Of the source.
            progress: Called as records finish.
        """
        self.check(judge)
        if (done := self.finished) is not None:
            if progress is not None:
                progress(done.records)
            done.from_store = done.scored
            return done
        file = self.output.with_name(f".{self.output.name}.store")
        note = {"judge": made_by(judge), "input_sha256": self.sha256, "reading": _READING}
        with JudgmentStore(file, alone=True) as store:
            if isinstance(judge, Judge):
                judge.store = store
            totals = score_file(
                judge, self.source, self.output, survey=survey, progress=progress, note=note
            )
        if totals.failed:  # to be tried again
            return totals
        for left in file.parent.glob(f"{escape(file.name)}*"):  # SQLite has files beside its own
            left.unlink(missing_ok=True)
        return totals


def partitions(folder: Path, output: Path, options: ReadOptions) -> list[Partition]:
    """The Parquet files of a folder, in the order of their names.

    Args:
        folder: The input.
        output: Folder of the scores files, which have the names of the inputs.
        options: How they are read.

    Raises:
        DataError: If there is no such file, or something else stands where an output is to be.
    """
    files = parquet_files(folder)
    if not files:
        raise DataError("holds no .parquet file.", path=folder)
    found = []
    for file in files:
        if not file.is_file():
            raise DataError("is not a regular file; take it out of the folder.", path=file)
        source, target = RecordFile(file, options), output / file.name
        found.append(Partition(source, target, source.digest(), _note(target)))
    return found


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a folder itself, in the order of their names."""
    # Spark and the like hide what is no data behind these beginnings.
    shown = (file for file in folder.iterdir() if not file.name.startswith((".", "_")))
    return sorted(file for file in shown if file.suffix.lower() == ".parquet")


def refuse_empty(surveys: Sequence[Survey], folder: Path) -> None:
    """Refuse a folder in which no file has a record; one without rows is no fault.

    Raises:
        DataError: If it is such a folder.
    """
    if not any(survey.records for survey in surveys):
        raise DataError("holds no records in any of its files.", path=folder)


def notices_of_folder(
    folder: Path, parts: Sequence[Partition], surveys: Sequence[Survey]
) -> list[str]:
    """What was noted of the files, each sentence once, and what of the folder is not read."""
    empty = [p.source.path.name for p, s in zip(parts, surveys, strict=True) if not s.records]
    counts = Counter(sentence for survey in surveys for sentence in survey.notices)
    found = [f"{text} ({n:,} files)" if n > 1 else text for text, n in counts.items()]
    read = {part.source.path.name for part in parts}
    others = sorted(file.name for file in folder.iterdir() if file.name not in read)
    if others := [name for name in others if not name.startswith((".", "_"))]:
        named = some(others, 1, " ")
        found.append(f"not read: {named}; only .parquet files directly in the folder are")
    if empty:
        verb = "hold" if len(empty) > 1 else "holds"
        found.append(f"{some(empty, 1, ' ')} {verb} no records; the output has none either")
    return found


def made_by(rater: Rater) -> str:
    """What decides the judgments of a judge or another rater: 64 hexadecimal digits."""
    if isinstance(rater, Judge):
        shown = f"{rater.context.hex()} reference={rater.reference} markers={rater.allow_markers}"
    else:
        shown = json.dumps(dict(rater.description), sort_keys=True)
    return hashlib.sha256(shown.encode()).hexdigest()


def _note(output: Path) -> dict[str, Any] | None:
    note = read_note(output, NOTE)
    if note is not None and {"judge", "input_sha256", "totals"} <= note.keys():
        return {"reading": None} | note
    if not output.exists():
        return None
    message = (
        "is where the scores would be written, but is not a scores file; name another `output`."
    )
    raise DataError(message, path=output)
