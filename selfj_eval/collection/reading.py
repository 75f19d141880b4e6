"""The rows of a source, streamed: from files in a folder, or from the hub."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from selfj_eval.collection.sources import Source
from selfj_eval.errors import DataError, brief
from selfj_eval.files.documents import parse_json
from selfj_eval.files.hashes import sha256_of
from selfj_eval.records.formats.parquet import parquet_rows

Placed = tuple[str, Mapping[str, Any]]

ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
_BUILDERS = {"jsonl": "json", "json": "json", "csv": "csv", "parquet": "parquet"}


def iter_rows(
    source: Source, folder: str | Path | None = None, *, limit: int | None = None
) -> Iterator[Placed]:
    """The rows of a source, one after the other; never all of them in memory.

    Args:
        source: The source.
        folder: Where its files lie, in ``folder/<name>`` (see ``source_folder``), as
            ``ENDINGS``, at any depth, read in the order of their names. None: the hub, by
            ``datasets``; loading scripts are not run.
        limit: At most so many rows.

    Yields:
        Place (``train.jsonl, line 3``; ``part.parquet, row 3``) and fields. Parquet files of a
        folder give the source's fields only. Where the source has a field ``subset`` and the
        row none, it is the folder or file, within the source, that the row stands in.

    Raises:
        DataError: Naming the source: no folder, no file in it, a file or a line that is not
            readable, or whatever the hub or its library says.
    """
    rows = _from_hub(source) if folder is None else _from_folder(source, Path(folder))
    return islice(rows, limit)


def fingerprint(source: Source, folder: str | Path | None = None) -> str:
    """What changes when the source's input does: a hexadecimal digest.

    Files count with their names, sizes and contents (each is read once), the hub with the commit
    that its revision stands for. Where that cannot be found out, the revision's name stands for it.

    Raises:
        DataError: If the folder cannot be read.
    """
    known: dict[str, Any] = {"source": asdict(source)}
    if folder is None:
        known["commit"] = _commit(source)
    else:
        own = source_folder(source, folder)
        known["files"] = [
            [name, path.stat().st_size, _sha256(path, source)] for name, path in _files(source, own)
        ]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def source_folder(source: Source, folder: str | Path) -> Path:
    """Where in a folder the files of a source lie.

    It is named as the source, or as the data set on the hub with ``_`` for ``/``; a part of a
    data set may also lie under the name of its first part (``quora`` for ``quora_coding``).

    Raises:
        DataError: If there is none.
    """
    names = [source.name]
    if source.part is not None:
        names.append(source.name.removesuffix("_" + source.part.rpartition(".")[2]))
    names.append(source.hub.replace("/", "_"))
    for name in names:
        if (Path(folder) / name).is_dir():
            return Path(folder) / name
    tried = ", ".join(dict.fromkeys(names))
    message = f"there is no folder of this source in {folder}; one of these names is expected: "
    raise DataError(f"{message}{tried}.", path=source.name)


def _files(source: Source, own: Path) -> list[tuple[str, Path]]:
    """Name within the source's folder, and path; sorted by name."""
    try:
        found = [path for path in _walk(own) if path.name.endswith(ENDINGS) and path.is_file()]
    except OSError as error:
        message = f"{error.filename or own} cannot be read: {error.strerror or error}."
        raise DataError(message, path=source.name) from error
    if not found:
        message = f"there is no file in {own} that ends in {', '.join(ENDINGS)}."
        raise DataError(message, path=source.name)
    return sorted((path.relative_to(own).as_posix(), path) for path in found)


def _walk(own: Path) -> Iterator[Path]:
    """All files below a folder, also through links; a folder is entered once."""

    def stop(error: OSError) -> None:
        raise error  # left out, a folder would be rows that are missing in silence

    seen = set()
    for folder, folders, names in os.walk(own, onerror=stop, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(folder, name) for name in names)


def _from_folder(source: Source, folder: Path) -> Iterator[Placed]:
    for name, path in _files(source, source_folder(source, folder)):
        reader = _parquet if name.endswith(".parquet") else _jsonl
        try:
            for place, row in reader(source, name, path):
                yield place, _with_subset(source, row, name)
        except (OSError, EOFError, zlib.error) as error:
            message = f"cannot be read: {brief(error).rstrip('.')}."
            raise DataError(message, path=source.name, place=name) from error


def _jsonl(source: Source, name: str, path: Path) -> Iterator[Placed]:
    with gzip.open(path) if name.endswith(".gz") else path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            place = f"{name}, line {number}"
            try:
                row = parse_json(line, strict=False)
            except ValueError as error:
                message = f"is not JSON ({brief(error).rstrip('.')})."
                raise DataError(message, path=source.name, place=place) from error
            if not isinstance(row, dict):
                message = f"expected a JSON object, got {type(row).__name__}."
                raise DataError(message, path=source.name, place=place)
            yield place, row


def _parquet(source: Source, name: str, path: Path) -> Iterator[Placed]:
    try:
        # A field that is not there is the converter's business, which says so.
        for place, row in parquet_rows(path, source.fields, fill=False):
            yield f"{name}, {place}", row
    except DataError as error:
        place = f"{name}, {error.place}" if error.place else name
        raise DataError(error.message, path=source.name, place=place, field=error.field) from error


def _from_hub(source: Source) -> Iterator[Placed]:
    try:
        for name, rows in _hub_parts(source):
            for number, row in enumerate(rows, 1):
                yield f"{name}, row {number}", _with_subset(source, row, name)
    except DataError:
        raise
    except Exception as error:  # whatever the library and the libraries below it may raise
        raise DataError(
            f"{source.hub} cannot be read from the hub: {brief(error).rstrip('.')}. Look at the "
            "network and, if the data set needs it, HF_TOKEN; or read its files from a "
            f"folder, {source.name}, of JSONL or Parquet files.",
            path=source.name,
        ) from error


def _hub_parts(source: Source) -> Iterator[tuple[str, Any]]:
    """Name and rows of each split, or of each file where the source names files."""
    from datasets import load_dataset

    if source.files is None:
        for split in source.split.split("+"):
            yield (
                split,
                load_dataset(
                    source.hub,
                    source.config,
                    split=split,
                    revision=source.revision,
                    streaming=True,
                ),
            )
        return
    root = _hub_root(source)
    for name in _hub_files(source, root):
        # One file at a time: configurations of a data set differ in their other columns.
        builder = _BUILDERS[name.removesuffix(".gz").rpartition(".")[2]]
        yield (
            name,
            load_dataset(builder, data_files=f"{root}/{name}", split="train", streaming=True),
        )


def _hub_root(source: Source) -> str:
    return f"hf://datasets/{source.hub}" + (f"@{source.revision}" if source.revision else "")


def _hub_files(source: Source, root: str) -> list[str]:
    import fsspec  # type: ignore[import-untyped]

    system, base = fsspec.url_to_fs(root)
    found = sorted(path[len(base) + 1 :] for path in system.glob(f"{base}/{source.files}"))
    if not found:
        message = f"{source.hub} has no files {source.files} (revision {source.revision})."
        raise DataError(message, path=source.name, field="files")
    return found


def _with_subset(source: Source, row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if "subset" not in source.fields or "subset" in row:
        return row
    # academia/train/0000.parquet and academia.stackexchange.com.jsonl.gz are both of academia.
    return {**row, "subset": PurePosixPath(name).parts[0].partition(".")[0]}


def _sha256(path: Path, source: Source) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}."
        raise DataError(message, path=source.name, place=path.name) from error


def _commit(source: Source) -> str | None:
    from huggingface_hub import HfApi

    try:
        found = HfApi().dataset_info(source.hub, revision=source.revision, timeout=30).sha
    except Exception:  # no network, no such repository: reading it will say so
        return source.revision
    return str(found)
