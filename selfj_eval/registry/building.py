"""A set from its upstream files: fetched, converted, counted, written whole."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from selfj_eval.errors import DataError, SelfJError, brief
from selfj_eval.files.atomic import atomic_write, remove_left_over
from selfj_eval.files.hashes import sha256_of
from selfj_eval.registry.cache import unwritable
from selfj_eval.registry.columns import FLOATS, expected
from selfj_eval.registry.downloading import Origin, Progress
from selfj_eval.registry.made import records, remember, state
from selfj_eval.registry.paths import inside
from selfj_eval.registry.sets import DataSet
from selfj_eval.registry.upstream import UpstreamFile

_CONVERTERS = "selfj_eval.registry.converters"
_BLOCK = 4096  # rows in a row group
Converter = Callable[[Sequence[UpstreamFile]], Iterable[Mapping[str, Any]]]


def converter_of(item: DataSet) -> Converter:
    """The function that a set names.

    Raises:
        SelfJError: If there is none.
    """
    module, _, function = item.converter.partition(":")
    try:
        found = getattr(importlib.import_module(f"{_CONVERTERS}.{module}"), function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise SelfJError(f"{item}: there is no converter {item.converter} ({error}).") from error
    assert callable(found)
    return found  # type: ignore[no-any-return]


def is_finished(folder: Path, item: DataSet) -> bool:
    """Whether a set's file is there as it was made, so that there is nothing to do.

    Raises:
        DataError: If a file is in its place that was not made here; it is not overwritten.
    """
    found = state(folder, item)
    path = inside(folder, item.output)
    if found == "by hand":
        raise DataError(
            "exists and was not made by `selfj data get`, so it is not overwritten. Move it "
            "away, or name another folder with `to`.",
            path=path,
        )
    record = records(folder, item.pack).get(item.name)
    return found == "got" and record is not None and sha256_of(path) == record["sha256"]


def build(item: DataSet, folder: Path, cache: Path, origin: Origin, progress: Progress) -> None:
    """Make a set's file; nothing stands under its name before it is complete.

    Args:
        item: The set.
        folder: The data folder.
        cache: Where downloads lie.
        origin: Where upstream files come from.
        progress: Is told how many bytes more are there.

    Raises:
        DataError: If a file cannot be had, is not the registered one, or does not give the rows
            that the registry says.
        StoreError: If something cannot be written.
    """
    convert = converter_of(item)
    target = inside(folder, item.output)
    remove_left_over(target)
    local: dict[str, Path] = {}
    for file in item.files:
        if file.place not in local:
            local[file.place] = origin.fetch(file, cache, progress)
    files = [UpstreamFile(f.repository, f.commit, f.path, local[f.place]) for f in item.files]
    write, count, names = _finished(item, convert(files))
    if count != item.rows:
        raise DataError(
            f"{item}: the converter gave {count:,} rows, the registry says {item.rows:,}."
        )
    if missing := [name for name in expected(item.output) if name not in names]:
        raise DataError(f"{item}: the converter gave no column {', '.join(map(repr, missing))}.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    with atomic_write(target) as stream:
        write(stream)
        stream.flush()
        # Before the file has its name: one without a record counts as somebody else's.
        remember(folder, item, sha256_of(Path(stream.name)))


def _finished(
    item: DataSet, rows: Iterable[Mapping[str, Any]]
) -> tuple[Callable[[BinaryIO], None], int, Sequence[str]]:
    """What writes the rows, how many they are, and their columns."""
    if item.output.endswith(".csv"):
        lines = list(_alike(item, rows))
        names = list(lines[0]) if lines else []
        return lambda stream: _write_csv(stream, names, lines), len(lines), names
    table = _table(item, rows)
    return lambda stream: _write_parquet(stream, table), table.num_rows, table.column_names


def _alike(item: DataSet, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The rows, which must all have the columns of the first."""
    names = None
    for number, row in enumerate(rows, 1):
        names = row.keys() if names is None else names
        if row.keys() != names:
            raise DataError(f"{item}: row {number} has other columns than row 1.")
        yield row


def _table(item: DataSet, rows: Iterable[Mapping[str, Any]]) -> Any:
    """Rows as Arrow columns, a block at a time: texts take less room there than as objects.

    Types are what the values are; a column of nothing but nulls is one of texts.
    """
    import pyarrow as pa

    blocks = []
    stream = _alike(item, rows)
    try:
        while block := list(islice(stream, _BLOCK)):
            columns = {
                name: pa.array(
                    [row[name] for row in block], pa.float64() if name in FLOATS else None
                )
                for name in block[0]
            }
            blocks.append(pa.table(columns))
        table = pa.concat_tables(blocks, promote_options="permissive") if blocks else pa.table({})
    except pa.ArrowException as error:
        raise DataError(f"{item}: values of two types in a column: {brief(error)}.") from error
    for k, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            table = table.set_column(k, field.name, table[field.name].cast(pa.string()))
    return table


def _write_parquet(stream: BinaryIO, table: Any) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, stream, compression="zstd", row_group_size=_BLOCK)


def _write_csv(stream: BinaryIO, names: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> None:
    from selfj_eval.records.row_writers import WRITERS

    writer = WRITERS[".csv"](stream, names)
    writer.write(lines)
    writer.close()
