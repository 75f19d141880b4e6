"""Write records and judgments: whole files or nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from selfj_eval.errors import DataError
from selfj_eval.files.atomic import atomic_write, check_output
from selfj_eval.jobs.options import Options, option
from selfj_eval.records.record import Judgment, Record
from selfj_eval.records.row_writers import CRITERION_PREFIX, WRITERS, RowWriter, SafeCsv


@dataclass(frozen=True, kw_only=True)
class TableOptions(Options):
    """How rows are written that may go into a spreadsheet."""

    group_title: ClassVar[str] = "the table that is written"

    safe_csv: bool = option(
        False,
        "write CSV that is safe to open in a spreadsheet: an apostrophe is put in front of texts "
        "that look like a formula, and selfj removes it when it reads the file",
    )

    def check_csv(self, output: Path | None) -> None:
        """Refuse the option where it would do nothing.

        Raises:
            DataError: If the output is no CSV file.
        """
        if self.safe_csv and (output is None or output.suffix.lower() != ".csv"):
            raise DataError("`safe_csv` is for an `output` that ends in .csv; leave it out.")


_FROM_JUDGMENT = tuple(field.name for field in fields(Judgment) if field.name != "criteria")
_FROM_RECORD = (
    *("rating", "rating_min", "rating_max", "model", "category"),
    *("messages", "instruction", "response", "reference", "raters"),
)
_RARE = ("messages", "raters")  # columns of files only where a record has them


def write_records(path: str | Path, records: Sequence[Record], *, safe_csv: bool = False) -> None:
    """Write records in the format of the file's name, readable by ``read_records``.

    Args:
        path: The file.
        records: The records.
        safe_csv: As for ``row_writer``.

    Raises:
        StoreError: If the file cannot be written; nothing is left behind then.
    """
    failed = any(record.error is not None for record in records)
    absent = set(_RARE) - fields_of(records)
    rows = [r.row() | ({"error": r.error} if failed else {}) for r in records]
    kept = [{name: value for name, value in row.items() if name not in absent} for row in rows]
    write_rows(path, kept, safe_csv=safe_csv)


def write_judgments(
    path: str | Path,
    records: Sequence[Record],
    judgments: Sequence[Judgment],
    *,
    safe_csv: bool = False,
) -> None:
    """Write judgments in the format of the file's name, one row per record, in their order.

    A row holds ``id, score, digit_mass, probabilities, error, reference_used,
    trimmed_tokens`` and the record's ``rating, rating_min, rating_max, model, category,
    messages, instruction, response, reference, raters`` where any record has them, and
    ``score_NAME`` for each criterion of a rubric. In CSV, lists are JSON arrays.
    ``safe_csv``: as for ``row_writer``.

    Raises:
        StoreError: If the file cannot be written; nothing is left behind then.
    """
    criteria = next(([name for name, _ in j.criteria] for j in judgments if j.criteria), [])
    columns = judgment_fields(fields_of(records), criteria)
    with row_writer(path, columns, safe_csv=safe_csv) as writer:
        writer.write(judgment_rows(records, judgments))


def fields_of(records: Iterable[Record]) -> set[str]:
    """The optional fields of a ``Record`` that any of them has."""
    unseen, seen = set(_FROM_RECORD), set()
    for record in records:
        if found := {field for field in unseen if getattr(record, field) is not None}:
            seen |= found
            unseen -= found
    return seen


def judgment_fields(given: Collection[str], criteria: Iterable[str] = ()) -> list[str]:
    """Columns of a scores file, for records that have the fields ``given``, and of criteria."""
    own = [f"{CRITERION_PREFIX}{name}" for name in criteria]
    return [
        *_FROM_JUDGMENT[:2],
        *own,
        *_FROM_JUDGMENT[2:],
        *(field for field in _FROM_RECORD if field in given),
    ]


def judgment_rows(
    records: Iterable[Record], judgments: Iterable[Judgment]
) -> Iterator[dict[str, Any]]:
    """Rows of a scores file."""
    for record, judgment in zip(records, judgments, strict=True):
        row = {name: getattr(judgment, name) for name in _FROM_JUDGMENT}
        if judgment.probabilities is not None:
            row["probabilities"] = list(judgment.probabilities)
        row |= {f"{CRITERION_PREFIX}{name}": score for name, score in judgment.criteria}
        given = record.row()
        yield row | {name: given[name] for name in _FROM_RECORD}


def write_rows(
    path: str | Path, rows: Sequence[Mapping[str, Any]], *, safe_csv: bool = False
) -> None:
    """Write rows in the format of the file's name; ``safe_csv`` as for ``row_writer``.

    Raises:
        StoreError: If the file cannot be written; nothing is left behind then.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with row_writer(path, columns, safe_csv=safe_csv) as writer:
        writer.write(rows)


@contextmanager
def row_writer(
    path: str | Path, fields: Sequence[str], *, safe_csv: bool = False
) -> Iterator[RowWriter]:
    """A file that takes rows bit by bit, and appears under its name when it is complete.

    Args:
        path: The file; its name's ending decides the format.
        fields: The rows' fields; what else a row has is left out.
        safe_csv: In CSV, put an apostrophe before texts that a spreadsheet would take for
            formulas, and say so in a column ``formula_guard``; this package reads the texts as
            they were.

    Raises:
        StoreError: If the file cannot be written; nothing is left behind then.
    """
    path = check_output(path)
    ending = path.suffix.lower()
    with atomic_write(path) as stream:
        writer = (SafeCsv if safe_csv and ending == ".csv" else WRITERS[ending])(stream, fields)
        try:
            yield writer
        except BaseException:
            with suppress(Exception):
                writer.close()  # pyarrow complains of a file that it finds closed
            raise
        writer.close()
