"""The rated sets that raters are measured on."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from selfj_eval.errors import DataError, printable
from selfj_eval.files.hashes import sha256_of
from selfj_eval.records.formats.opening import READABLE, ending_of
from selfj_eval.records.hub import HubRows, fetched
from selfj_eval.records.inputs import records_of
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.reading import read_records
from selfj_eval.records.record import Record
from selfj_eval.registry.named import judge_bench_file

if TYPE_CHECKING:
    from selfj_eval.records.inputs import InMemory

FEWEST = 30
"""Rated answers that a model needs for a column of its own."""


@dataclass(frozen=True)
class BenchSet:
    """Answers, rated ones unless it was read otherwise.

    Attributes:
        name: What it is called.
        path: The file; None where the answers were in memory.
        records: The answers.
        unrated: How many were left out because they have no rating.
        columns: The answering models that have a column, in the order of their names.
        sha256: Of the file, or of the answers as JSON.
        notices: What was recognised, converted or ignored in it, as sentences.
    """

    name: str
    path: str | None
    records: Sequence[Record]
    unrated: int
    columns: Sequence[str]
    sha256: str
    notices: Sequence[str] = ()

    @property
    def left_out(self) -> dict[str, int]:
        """The other models, and how many answers they have: too few."""
        counts = Counter(r.model for r in self.records if r.model is not None)
        return {name: counts[name] for name in sorted(set(counts) - set(self.columns))}


def read_set(
    name: str,
    *,
    models: Sequence[str] | None = None,
    limit: int | None = None,
    unrated: bool = False,
    options: ReadOptions | None = None,
) -> BenchSet:
    """Read a set.

    Args:
        name: Of a ``judge_bench`` set, such as ``arena_bench``; or a file of records, or what is
            on the hub (``hf://datasets/...``).
        models: The answering models that get a column; by default those with ``FEWEST`` ratings.
        limit: Only the first so many records.
        unrated: Take answers without a rating, too.
        options: How files and answers in memory are read.

    Raises:
        DataError: If it cannot be read, or holds no rating.
    """
    known = judge_bench_file(name, "pointwise")
    given = fetched(name) if known is None else known
    if isinstance(given, HubRows):
        return set_in_memory(
            given.name, given, models=models, limit=limit, unrated=unrated, options=options
        )
    file = Path(given)
    if known is None and ending_of(file) not in READABLE:
        raise DataError(
            "is neither a set of judge_bench, such as arena_bench, nor a file of records "
            f"({', '.join(READABLE)}).",
            path=file,
        )
    notices = Notices()
    how = ReadOptions() if known is not None or options is None else options
    records = read_records(
        file,
        names=how.fields,
        notices=notices,
        encoding=how.encoding,
        scale=how.scale,
        missing_rating=how.missing_rating,
    )[:limit]
    shown = file.stem.removeprefix("pointwise_")
    # Messages end up in tables that are shown to others, which need no folder of this machine.
    places = [(record.where or "").rpartition(", ")[2] for record in records]
    placed = [
        replace(record, where=f"{shown}, {place}")
        for record, place in zip(records, places, strict=True)
    ]
    digest = sha256_of(file)
    said = () if known is not None else tuple(notices.sentences())
    return _set_of(shown, placed, models, unrated, path=file, sha256=digest, notices=said)


def set_in_memory(
    name: str,
    answers: InMemory,
    *,
    models: Sequence[str] | None = None,
    limit: int | None = None,
    unrated: bool = False,
    options: ReadOptions | None = None,
) -> BenchSet:
    """A set of answers in memory. Arguments and errors as for ``read_set``."""
    if re.fullmatch(r"\w[\w.+-]*", name) is None:
        raise DataError(
            f"{name!r} cannot be the name of a set: use letters, digits, and '_', '.', '+', '-'."
        )
    notices = Notices()
    records = records_of(answers, options=options, notices=notices)[:limit]
    content = hashlib.sha256()
    for record in records:
        content.update(json.dumps(record.row(), sort_keys=True).encode())
    said = tuple(notices.sentences())
    return _set_of(
        name, records, models, unrated, path=None, sha256=content.hexdigest(), notices=said
    )


def _set_of(
    name: str,
    records: Sequence[Record],
    models: Sequence[str] | None,
    unrated: bool,
    *,
    path: Path | None,
    sha256: str,
    notices: Sequence[str],
) -> BenchSet:
    """The answers that count, and the columns of the models that have enough of them."""
    rated = [record for record in records if unrated or record.rating is not None]
    if not rated:
        message = f"none of the {len(records):,} records has a rating to agree with."
        raise DataError(message, path=path or name, field="rating")
    counts = Counter(record.model for record in rated if record.model is not None)
    columns = sorted((m for m, n in counts.items() if n >= FEWEST), key=str.casefold)
    if models is not None:
        columns = [model for model in dict.fromkeys(models) if model in counts]
    shown = None if path is None else printable(path)
    return BenchSet(name, shown, rated, len(records) - len(rated), columns, sha256, notices)


def read_sets(
    given: Sequence[str] | Mapping[str, InMemory],
    *,
    models: Sequence[str] | None = None,
    limit: int | None = None,
    unrated: bool = False,
    options: ReadOptions | None = None,
) -> list[BenchSet]:
    """Read sets, or take them by name from memory; no two may have one name.

    The other arguments are as for ``read_set``.

    Raises:
        DataError: As for ``read_set``, or if a named model has no rated answer anywhere.
    """
    if not given:
        raise DataError("no set is named; give some as `data`, such as arena_bench.")
    if isinstance(given, Mapping):
        sets = [
            set_in_memory(
                name, answers, models=models, limit=limit, unrated=unrated, options=options
            )
            for name, answers in given.items()
        ]
    else:
        sets = [
            read_set(name, models=models, limit=limit, unrated=unrated, options=options)
            for name in given
        ]
    own = [found.name for found in sets]
    if twice := sorted({name for name in own if own.count(name) > 1}):
        raise DataError(f"two sets are called {twice[0]!r}; rename a file.")
    known = {record.model for found in sets for record in found.records if record.model}
    if missing := [model for model in models or () if model not in known]:
        there = ", ".join(sorted(known)) or "none is named"
        raise DataError(f"no rated answer is by {missing[0]!r}; the models are: {there}.")
    return sets
