"""The verb `view`: a page on which scored answers are searched, sorted and read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from selfj_eval.errors import DataError, counted, shown
from selfj_eval.evaluation.options import VerdictOptions
from selfj_eval.jobs.options import keywords
from selfj_eval.jobs.results import Result
from selfj_eval.records.hub import fetched
from selfj_eval.workbench.application import check_packages
from selfj_eval.workbench.options import PageOptions
from selfj_eval.workbench.serving import serve_page

if TYPE_CHECKING:
    from fastapi import FastAPI

    from selfj_eval.judging.scored import ScoresLike


@dataclass(frozen=True, kw_only=True)
class ViewOptions(VerdictOptions, PageOptions):
    """Where the page is served, and what its figures are computed with."""

    group_title: ClassVar[str] = "the page"


@dataclass(frozen=True)
class View(Result):
    """What was shown.

    Attributes:
        files: The files.
        judges: Whose scores they hold.
        answers: Different answers.
        unscored: Answers to which at least one judge gave no score.
        rated: Answers with a rating.
    """

    files: Sequence[str]
    judges: Sequence[str]
    answers: int
    unscored: int
    rated: int

    def rows(self) -> list[dict[str, Any]]:
        """One row."""
        return [self.to_dict()]

    def __str__(self) -> str:
        names = ", ".join(map(shown, self.judges))
        unscored = f", {self.unscored:,} unscored" if self.unscored else ""
        return f"{counted(self.answers, 'answer')}{unscored}, {self.rated:,} rated; judges: {names}"


def view_scores(scores: ScoresLike | Sequence[str | Path], options: ViewOptions) -> View:
    """Serve a page about scored answers on this machine, until Ctrl-C.

    The texts are kept in a temporary file, not in memory. Nothing is written to the scores.

    Args:
        scores: Scored answers, as for ``evaluate``, or a list of files. Answers with the same id
            and texts are one answer with the scores of several judges.

    Raises:
        DataError: If they cannot be read, a package is missing, or the address cannot be used.
        StoreError: If the folder for temporary files cannot hold the texts.
    """
    with view_page(scores, options) as (app, result):
        serve_page(app, options)
    return result


view = keywords(view_scores, ViewOptions)


@contextmanager
def view_page(
    scores: ScoresLike | Sequence[str | Path], options: ViewOptions
) -> Iterator[tuple[FastAPI, View]]:
    """The application of the page, and what it shows; its temporary file goes with the block.

    Args and errors as of ``view_scores``.
    """
    from selfj_eval.workbench.answer_reading import read_answers
    from selfj_eval.workbench.figure_job import FigureJob

    check_packages("selfj view")
    from selfj_eval.workbench.view_page import application  # needs them

    given = _each(scores, options)
    with tempfile.TemporaryDirectory(prefix="selfj-view-", ignore_cleanup_errors=True) as folder:
        table = read_answers(
            given,
            Path(folder),
            ratings=options.ratings,
            scale=options,
            progress=options.progress,
        )
        columns = table.columns
        result = View(
            files=table.files,
            judges=[judge.name for judge in columns.judges],
            answers=len(columns),
            unscored=int(columns.unscored.sum()),
            rated=columns.rated,
        )
        try:
            yield application(table, FigureJob(given, options), options.host), result
        finally:
            table.store.close()


def _each(scores: Any, options: ViewOptions) -> list[Any]:
    """What was given, file by file; what can be read only once is read here."""
    from selfj_eval.judging.scored import as_scores

    if isinstance(scores, list | tuple) and all(isinstance(each, str | Path) for each in scores):
        given = list(scores)
    else:
        given = [scores]
    if not given:
        raise DataError("give the scores of one judge at least.")
    found = [fetched(each, with_run=True) for each in given]
    return [
        each if isinstance(each, str | Path) else as_scores(each, scale=options) for each in found
    ]
