"""What a model is asked: instructions from files, and from memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from selfj_eval.errors import DataError, printable
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.conversations import as_text
from selfj_eval.records.formats import Row
from selfj_eval.records.inputs import HoldsRecords, rows_of
from selfj_eval.records.notices import Notices
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.reading import iter_rows, refuse_repeated_ids
from selfj_eval.records.record import Record, checked_fields, is_number

if TYPE_CHECKING:
    import datasets
    import pandas as pd

_KNOWN = ("id", "instruction", "reference", "category", "dataset", *QUESTION_FIELDS)


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a model is asked.

    Attributes:
        id: Unique within a file.
        text: The instruction; not empty.
        reference: A good answer, for the judge, or None.
        category: Kind of instruction, or None.
    """

    id: str
    text: str
    reference: str | None = None
    category: str | None = None


if TYPE_CHECKING:
    Asked: TypeAlias = (
        Iterable[str]
        | Iterable[Mapping[str, Any]]
        | Iterable[Instruction]
        | Iterable[Record]
        | pd.DataFrame
        | datasets.Dataset
        | HoldsRecords
    )


def read_instructions(path: str | Path, *, notices: Notices | None = None) -> list[Instruction]:
    """Read and check a file of instructions: ``.jsonl``, ``.json``, ``.csv`` or ``.parquet``.

    A row has an ``instruction`` and, if known, an ``id`` (all rows or none; without, the
    position is the id, from 0), a ``reference``, and a ``category`` (or ``dataset``, as
    AlpacaEval calls it). ``input`` (Alpaca), ``system``, ``history`` and ``messages`` become part
    of the instruction. Other fields are ignored.

    Args:
        path: The file.
        notices: Receives what was recognised, converted or ignored.

    Raises:
        DataError: If the file cannot be read, or any row is not a valid instruction.
    """
    path = Path(path)
    notices = Notices() if notices is None else notices
    rows = list(iter_rows(path, fields=_KNOWN, notices=notices))
    if not rows:
        raise DataError("holds no instructions.", path=path)
    return _instructions(rows, path, notices)


def instructions_of(values: Asked, *, notices: Notices | None = None) -> list[Instruction]:
    """Instructions that are in memory; the rules are those of ``read_instructions``.

    Args:
        values: Texts, rows as mappings, ``Instruction``s, records (whose answers are ignored), a
            pandas table, or a ``datasets.Dataset``.
        notices: As for ``read_instructions``.

    Raises:
        DataError: If there is none, or one is no valid instruction.
        TypeError: If it is something else.
    """
    rows = list(rows_of(asked_rows(values)))
    if not rows:
        raise DataError("there are no instructions.")
    return _instructions(rows, None, Notices() if notices is None else notices)


def asked_rows(values: Asked) -> list[Mapping[str, Any]]:
    """What is in memory as rows; arguments and errors as for ``instructions_of``."""
    if isinstance(values, Iterable) and not hasattr(values, "columns"):
        values = [_row(value) for value in values]
    return [row for _, row in rows_of(values)]


def _row(value: Any) -> Any:
    if isinstance(value, str):
        return {"instruction": value}
    if isinstance(value, Instruction):
        found = {"id": value.id, "instruction": value.text}
        more = {"reference": value.reference, "category": value.category}
        return found | {name: text for name, text in more.items() if text is not None}
    return value


def _instructions(rows: Sequence[Row], path: Path | None, notices: Notices) -> list[Instruction]:
    own_ids = any(row.get("id") is not None for _, row in rows)
    found = []
    for number, (place, row) in enumerate(rows):
        kind = "dataset" if is_missing(row.get("category")) else "category"
        given = row.get(kind)
        if not (is_missing(given) or isinstance(given, str) or is_number(given)):
            message = f"expected text, got {type(given).__name__}."
            raise DataError(message, path=path, place=place, field=kind)
        # Ignored fields keep their names, which the message on a missing one lists.
        known = {name: value if name in _KNOWN else None for name, value in row.items()}
        values: dict[str, Any] = checked_fields(
            known | {"category": given},
            required=("id", "instruction") if own_ids else ("instruction",),
            path=None if path is None else printable(path),
            place=place,
            notices=notices,
        )
        name = values.get("id", str(number))
        more = {field: values.get(field) for field in ("reference", "category")}
        turns = values.get("messages")
        text = values["instruction"] if turns is None else as_text(turns)
        found.append(Instruction(name, text, **more))
    places = [(item.id, place) for item, (place, _) in zip(found, rows, strict=True)]
    refuse_repeated_ids(places, path=path)
    notices.ignore(name for _, row in rows for name in row if name not in _KNOWN)
    return found
