"""One source made ready: rows read, converted, filtered, signed, in one file of the work folder."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from selfj_eval.collection.contamination import (
    EvaluationTexts,
    evaluation_file,
    load_evaluation_texts,
)
from selfj_eval.collection.converters import instructions
from selfj_eval.collection.filters import Step, dropped_by, steps
from selfj_eval.collection.options import FilterOptions
from selfj_eval.collection.reading import fingerprint, iter_rows
from selfj_eval.collection.signatures import signatures
from selfj_eval.collection.sources import Source
from selfj_eval.errors import DataError
from selfj_eval.files.atomic import atomic_write, remove_left_over
from selfj_eval.files.parquet_notes import read_note, write_note
from selfj_eval.files.stamps import Stamp, stamp

if TYPE_CHECKING:
    import pyarrow as pa

CONTAMINATED = "contaminated"
"""The step that drops what holds an instruction of an evaluation set."""
NOTE = "selfj_collection"
_METHOD = 1  # raise when the same recipe would make another file
_TOGETHER = 8192  # texts that are signed and written together


@dataclass(frozen=True)
class Recipe:
    """What decides what becomes of a row.

    Attributes:
        folder: Where the sources' files lie; None: the hub.
        filters: The limits.
        evaluation: Evaluation sets whose instructions are kept out: names or files.
        limit: Only the first so many rows of each source.
    """

    folder: str | None = None
    filters: FilterOptions = field(default_factory=FilterOptions)
    evaluation: tuple[str, ...] = ()
    limit: int | None = None


@dataclass(frozen=True)
class PreparedSource:
    """A source that is ready.

    Attributes:
        name: The source's.
        key: What it was made of and how: a digest.
        rows: Rows that were read.
        instructions: Instructions in them.
        dropped: How many of these each step dropped, in the order of the steps.
        kept: How many are left.
    """

    name: str
    key: str
    rows: int
    instructions: int
    dropped: dict[str, int]
    kept: int

    def is_sound(self) -> bool:
        """Whether everything has its type, also where it was read from a file."""
        if not (isinstance(self.name, str) and isinstance(self.key, str)):
            return False
        if not isinstance(self.dropped, dict):
            return False
        counts = (self.rows, self.instructions, self.kept, *self.dropped.values())
        return all(type(count) is int for count in counts)


def work_file(out: Path, source: Source) -> Path:
    """Where a source is made ready: a Parquet file, with its counts in its own metadata."""
    return out / "work" / f"{source.name}.parquet"


def prepare(source: Source, recipe: Recipe, out: Path) -> PreparedSource:
    """Make a source ready, unless it is already, of the same input and by the same recipe.

    Args:
        source: The source.
        recipe: What becomes of its rows.
        out: The output folder; its folder ``work`` is there.

    Raises:
        DataError: If the source cannot be read, or has another schema than it is known by.
        StoreError: If the file cannot be written.
    """
    files = [evaluation_file(name) for name in recipe.evaluation]
    evaluation = _evaluation(recipe.evaluation, tuple(map(stamp, files)))
    path, key = work_file(out, source), _key(source, recipe, evaluation)
    remove_left_over(path)
    before = read_prepared(path)
    if before is not None and before.key == key:
        return before
    import pyarrow.parquet as pq

    counts, tally = Counter[str](), Counter[str]()
    texts = _kept(source, recipe, evaluation, counts, tally)
    with atomic_write(path) as stream:
        # Of nothing, for the schema. Hashes do not repeat: a dictionary of them would be in vain.
        schema = _table([]).schema
        writer = pq.ParquetWriter(stream, schema, compression="zstd", use_dictionary=False)
        try:
            while portion := list(islice(texts, _TOGETHER)):
                writer.write_table(_table(portion))
            order = [step.name for step in _steps(recipe.filters)] + [CONTAMINATED]
            found = PreparedSource(
                source.name,
                key,
                counts["rows"],
                counts["instructions"],
                {name: tally[name] for name in order},
                counts["kept"],
            )
            write_note(writer, NOTE, asdict(found))
        except BaseException:
            with suppress(Exception):
                writer.close()  # pyarrow complains of a file that it finds closed
            raise
        writer.close()
    return found


def _table(texts: Sequence[str]) -> pa.Table:
    """Instructions with their signatures."""
    import pyarrow as pa

    columns = {"instruction": pa.array(texts, pa.string())}
    return pa.table(columns | signatures(texts).columns())


def read_prepared(path: Path) -> PreparedSource | None:
    """What a file of the work folder says of itself; None if there is no whole one."""
    try:
        found = PreparedSource(**(read_note(path, NOTE) or {}))
    except TypeError:
        return None
    return found if found.is_sound() else None


def _key(source: Source, recipe: Recipe, evaluation: EvaluationTexts | None) -> str:
    parts = [
        _METHOD,
        fingerprint(source, recipe.folder),
        asdict(recipe.filters),
        None if evaluation is None else evaluation.identity,
        recipe.limit,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _kept(
    source: Source,
    recipe: Recipe,
    evaluation: EvaluationTexts | None,
    counts: Counter[str],
    tally: Counter[str],
) -> Iterator[str]:
    """The instructions of a source that no step drops; what is dropped is counted."""
    filters = _steps(recipe.filters)
    for place, row in iter_rows(source, recipe.folder, limit=recipe.limit):
        counts["rows"] += 1
        for text in instructions(source, place, row):
            counts["instructions"] += 1
            name = dropped_by(text, filters)
            if name is None and evaluation is not None and evaluation.found_in(text) is not None:
                name = CONTAMINATED
            if name is not None:
                tally[name] += 1
                continue
            counts["kept"] += 1
            yield text
    if not counts["rows"]:
        raise DataError("has no rows.", path=source.name)


# Once a process: a language model, and an index of evaluation sets, as long as their files stay.
@cache
def _steps(settings: FilterOptions) -> Sequence[Step]:
    return steps(settings)


@cache
def _evaluation(names: tuple[str, ...], _: tuple[Stamp, ...]) -> EvaluationTexts | None:
    return load_evaluation_texts(names) if names else None
