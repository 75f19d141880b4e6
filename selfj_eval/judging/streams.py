"""Scored answers one after the other, with the judge's distributions: for files of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from selfj_eval.errors import printable
from selfj_eval.judging.distributions import (
    DISTRIBUTION_FIELDS,
    Distribution,
    distribution_in,
    distributions_of,
)
from selfj_eval.judging.scored import RatingsLike, as_scores, judge_name, run_of, stem_of
from selfj_eval.judging.scored_rows import Scored, ScoredRows
from selfj_eval.records.hub import fetched
from selfj_eval.records.options import ScaleOptions

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike


class Streamed(NamedTuple):
    """One scored answer.

    Attributes:
        place: Where it stands in its file, such as ``line 3``.
        answer: The answer.
        distribution: The judge's probabilities of its labels, or None.
    """

    place: str
    answer: Scored
    distribution: Distribution | None


@dataclass(frozen=True)
class ScoresStream:
    """Scored answers that are read while they are iterated over, once.

    Attributes:
        judge: What the run file calls the judge, or None.
        stem: What to call it by its file.
        path: The file.
        run: As of ``Scores``.
        total: How many answers there are; 0 where that is known only at the end.
        rows: The answers, in the order of the file. Repeated ids are not looked for.
    """

    judge: str | None
    stem: str
    path: str
    run: Mapping[str, Any]
    total: int
    rows: Iterator[Streamed]


def stream_scores(
    given: ScoresLike, *, ratings: RatingsLike | None, scale: ScaleOptions
) -> ScoresStream:
    """Scored answers, a file row by row: it does not get into memory as a whole.

    Args:
        given, ratings, scale: As for ``as_scores``. With ``ratings``, or where no file is given,
            the answers are in memory.

    Raises:
        DataError: As ``as_scores`` does; while it is iterated over for a fault in a row.
    """
    source = fetched(given, with_run=True)
    if ratings is None and isinstance(source, str | Path):
        path = Path(source)
        run = run_of(path)
        about = (judge_name(run), stem_of(path), printable(path), run)
        return ScoresStream(*about, _total(path), _rows_of(path, scale))
    scores = as_scores(given, ratings=ratings, scale=scale)
    found = distributions_of(given, scores, scale)
    rows = zip(scores.answers, found, strict=True)
    return ScoresStream(
        judge_name(scores.run),
        scores.name,
        scores.path,
        scores.run,
        len(scores.answers),
        (Streamed(f"row {k}", answer, own) for k, (answer, own) in enumerate(rows, 1)),
    )


def _rows_of(path: Path, scale: ScaleOptions) -> Iterator[Streamed]:
    shown = printable(path)
    for place, row, answer in ScoredRows(path, scale, score=True, more=DISTRIBUTION_FIELDS):
        yield Streamed(place, answer, distribution_in(row, shown, place))


def _total(path: Path) -> int:
    """How many rows a file has, where that can be had without reading them."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        with suppress(OSError, pa.ArrowException):  # reading it says what is wrong
            return int(pq.read_metadata(path).num_rows)
    if path.suffix == ".jsonl":
        with suppress(OSError), path.open("rb") as stream:
            return sum(part.count(b"\n") for part in iter(lambda: stream.read(1 << 20), b""))
    return 0
