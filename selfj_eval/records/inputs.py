"""What Python's callers give in place of a file: records, rows, a pandas table, a data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from selfj_eval.errors import DataError
from selfj_eval.jobs.results import Result
from selfj_eval.records.formats import Rows
from selfj_eval.records.hub import HubRows
from selfj_eval.records.notices import Notices, on_nothing
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.reading import records_of_rows, refuse_repeated_ids
from selfj_eval.records.record import Record


class HoldsRecords(Protocol):
    """A result that holds answers, such as that of ``generate``."""

    @property
    def records(self) -> Sequence[Record]: ...


if TYPE_CHECKING:
    import datasets
    import pandas as pd

    InMemory: TypeAlias = (
        Iterable[Record]
        | Iterable[Mapping[str, Any]]
        | pd.DataFrame
        | datasets.Dataset
        | HoldsRecords
    )
    Answers: TypeAlias = str | Path | InMemory


def records_of(
    answers: InMemory,
    *,
    options: ReadOptions | None = None,
    notices: Notices | None = None,
) -> list[Record]:
    """Records from what is in memory; the rules are those of ``records.reading.read_records``.

    Args:
        answers: Records, rows as mappings, a pandas table, a ``datasets.Dataset``, a data set of
            the hub, or the result of ``generate``.
        options: What fields are called, and what ratings mean.
        notices: As for ``records.reading.read_records``.

    Raises:
        DataError: If there is none, one is no record, or an id occurs twice.
        TypeError: If it is something else.
    """
    try:
        return _records(answers, options, notices)
    except DataError as error:
        if not isinstance(answers, HubRows) or error.path is not None:
            raise
        where = {"path": answers.address, "place": error.place, "field": error.field}
        raise DataError(error.message, **where) from error


def _records(
    answers: InMemory, options: ReadOptions | None, notices: Notices | None
) -> list[Record]:
    rows, notices = list(_items_of(answers)), notices or Notices()
    as_they_are = options is None or not options.changes_ratings
    if as_they_are and all(isinstance(row, Record) for _, row in rows):
        placed = [(place, row) for place, row in rows if isinstance(row, Record)]
    else:
        plain = ((place, _row_of(row)) for place, row in rows)
        read = records_of_rows(plain, path=None, options=options, notices=notices)
        placed = list(read)
    if not placed:
        raise DataError(on_nothing("there are no records", notices.why_left_out()))
    refuse_repeated_ids([(record.id, place) for place, record in placed], path=None)
    return [record for _, record in placed]


def rows_of(values: Any) -> Rows:
    """Rows in memory as mappings, each with its place.

    Raises:
        TypeError: If it is no iterable of records or mappings.
    """
    return ((place, _row_of(item)) for place, item in _items_of(values))


def _row_of(item: Mapping[str, Any] | Record) -> Mapping[str, Any]:
    if not isinstance(item, Record):
        return {name: _plain(value) for name, value in item.items()}
    more = {} if item.error is None else {"error": item.error}
    row = item.row()
    return {k: v for k, v in row.items() if v is not None or k == "response"} | more


def _plain(value: Any) -> Any:
    """A number or an array of numpy's as Python's."""
    return value.tolist() if isinstance(getattr(value, "ndim", None), int) else value


def _items_of(values: Any) -> Iterator[tuple[str, Mapping[str, Any] | Record]]:
    """Rows and records in memory, each with its place.

    Raises:
        TypeError: If it is no iterable of records or mappings.
    """
    wanted = "expected a path, records, rows as mappings, a pandas table or a datasets.Dataset"
    if hasattr(values, "to_dict") and hasattr(values, "columns"):  # pandas
        values = values.to_dict("records")
    elif isinstance(getattr(values, "records", None), Sequence):
        values = values.records
    elif isinstance(getattr(values, "outputs", None), Sequence):  # the best of several
        values = values.outputs
    elif isinstance(values, Result):
        values = values.rows()
    if isinstance(values, Mapping | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{wanted}; got {type(values).__name__}.")
    for number, row in enumerate(values, 1):
        place = f"row {number}"
        if isinstance(row, Record | Mapping):
            yield place, row
        elif hasattr(row, "row"):  # an answer with its score
            yield place, row.row()
        else:
            raise TypeError(f"{wanted}; {place} is {type(row).__name__}.")
