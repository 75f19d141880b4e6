"""Read scored answers of one or more files into the table that a page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from selfj_eval.errors import DataError
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.judging.scored import RatingsLike, same_answer
from selfj_eval.judging.scored_rows import Scored
from selfj_eval.judging.streams import ScoresStream, Streamed, stream_scores
from selfj_eval.records.options import ScaleOptions
from selfj_eval.workbench.answer_columns import AnswerColumns, FileColumn, Filling
from selfj_eval.workbench.answer_store import AnswerStore, Verdict

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike


@dataclass(frozen=True)
class AnswerTable:
    """Answers with the scores of all files.

    Attributes:
        store: Their texts.
        columns: Their numbers.
        files: What each file is called.
    """

    store: AnswerStore
    columns: AnswerColumns
    files: Sequence[str]


def read_answers(
    given: Sequence[ScoresLike],
    folder: Path,
    *,
    ratings: RatingsLike | None = None,
    scale: ScaleOptions | None = None,
    progress: Watch = False,
    indexed: bool = True,
) -> AnswerTable:
    """Read scored answers. Those of one id and equal texts are one answer, of several files.

    Args:
        given: As for ``as_scores``, one or more.
        folder: Where the texts are kept.
        ratings, scale: As for ``as_scores``.
        progress: Is told how many answers are read, and then found by search.
        indexed: As for ``AnswerStore``.

    Raises:
        DataError: If one cannot be read, or an id occurs twice in it.
        StoreError: If the folder cannot hold the texts.
    """
    store, filling, files = AnswerStore(folder, indexed=indexed), Filling(), list[str]()
    for file, each in enumerate(given):
        stream = stream_scores(each, ratings=ratings, scale=scale or ScaleOptions())
        files.append(stream.path)
        filling.files.append(FileColumn(stream.judge, stream.stem, stream.run))
        with steps(progress, stream.total, "read", "answer") as done:
            for row in stream.rows:
                _add(store, filling, file, row, stream)
                done(1)
    with steps(progress, len(store), "indexed", "answer") as done:
        for number in store.index():
            done(number)
    return AnswerTable(store, filling.columns(), files)


def _add(
    store: AnswerStore, filling: Filling, file: int, row: Streamed, stream: ScoresStream
) -> None:
    place, answer, distribution = row
    n = None
    for texts in store.with_id(answer.id):
        if (first := store.place(texts.n, file)) is not None:
            message = f"{answer.id!r} occurs twice, first in {first}; ids must be unique."
            raise DataError(message, path=stream.path, place=place, field="id")
        other = Scored(
            texts.id, instruction=texts.question, response=texts.response, reference=texts.reference
        )
        if n is None and same_answer(other, answer):
            n = texts.n
            if None in texts[2:]:
                store.complete(n, answer)
    facts = (answer.model, answer.category, len(answer.response or ""))
    if n is None:
        n = store.add(answer)
        filling.add(*facts)
    else:
        filling.complete(n, *facts)
    if answer.rating is not None and answer.quality is not None:
        scale = (answer.rating_min, answer.rating_max)
        filling.rate(n, answer.rating, answer.quality, scale)
    filling.files[file].add(n, answer.score)
    store.add_verdict(n, Verdict(file, place, answer.error, distribution))
