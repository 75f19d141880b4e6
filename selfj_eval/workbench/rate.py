"""The verb `rate`: people rate answers in the browser, without knowing score or model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, counted, printable, shown
from selfj_eval.files.atomic import check_output
from selfj_eval.files.locks import alone
from selfj_eval.jobs.options import PathLike, keywords, option
from selfj_eval.jobs.results import Result, table
from selfj_eval.jobs.terminal import say
from selfj_eval.records.options import ReadOptions
from selfj_eval.workbench.application import check_packages
from selfj_eval.workbench.guidelines import read_guidelines
from selfj_eval.workbench.options import PageOptions
from selfj_eval.workbench.rating_file import RatingFile, read_rating_file
from selfj_eval.workbench.rating_input import Input, read_input
from selfj_eval.workbench.rating_page import rating_application
from selfj_eval.workbench.rating_session import Progress, RatingSession, key_of, name_of
from selfj_eval.workbench.serving import serve_page

if TYPE_CHECKING:
    from selfj_eval.records.inputs import Answers


@dataclass(frozen=True, kw_only=True)
class RateOptions(ReadOptions, PageOptions):
    """How people rate.

    ``scale`` is by default that of the file, or 0 to 9.
    """

    output: PathLike = option(
        help="file for the ratings (.jsonl); if it already has ratings of these answers, "
        "continue with it",
        placeholder="FILE",
    )
    rater: str | None = option(
        None, "name of the person who rates (default: the page asks for it)", placeholder="NAME"
    )
    guidelines: PathLike | None = option(
        None,
        "a Markdown file with instructions for rating, which the page shows",
        placeholder="FILE",
    )
    show_reference: bool = option(False, "also show the references")
    seed: int = option(0, "seed of the random order, for answers that are not from a plan", low=0)

    def check(self) -> None:
        """Refuse a name that cannot be one."""
        super().check()
        if self.rater is not None:
            name_of(self.rater)


@dataclass(frozen=True)
class RatingRun(Result):
    """Who has rated how many answers.

    Attributes:
        output: The file of ratings.
        scale: Lowest and highest rating.
        planned: Whether the answers are those of a plan.
        total: Answers to rate.
        raters: How far each person is, also from earlier times.
    """

    output: str
    scale: tuple[float, float]
    planned: bool
    total: int
    raters: Mapping[str, Progress]

    def rows(self) -> list[dict[str, Any]]:
        """One row per person."""
        return [{"rater": name} | found._asdict() for name, found in self.raters.items()]

    def __str__(self) -> str:
        low, high = self.scale
        lines = [f"{self.output}: {counted(self.total, 'answer')} to rate from {low:g} to {high:g}"]
        if not self.raters:
            return f"{lines[0]}; no rating yet."
        cells = [("rater", "rated", "skipped", "left")]
        for name, (rated, skipped, total) in self.raters.items():
            left = total - rated - skipped
            cells.append((shown(name), f"{rated:,}", f"{skipped:,}", f"{left:,}"))
        return "\n".join([*lines, table(cells)])


def rate_answers(answers: Answers, options: RateOptions) -> RatingRun:
    """Serve a page on which people rate answers, until Ctrl-C.

    The page shows neither scores nor models. Each rating is on the disk before the next answer is
    shown. The file of ratings can be given as ``ratings`` to ``estimate``, ``evaluate`` and
    ``select``. If it exists, the same call continues with it.

    Args:
        answers: A plan, by ``plan``, which is rated in its order and whose inclusion
            probabilities go into the file of ratings; or any answers, which are rated in random
            order. Ratings in a plan are its pilot and are kept; other ratings are not used.

    Raises:
        DataError: If they cannot be read, the file of ratings is for other answers or another
            scale, a package is missing, or the page cannot be served.
        StoreError: If the file cannot be written, or another process is using it.
    """
    check_packages("selfj rate")
    output = check_output(options.output, formats=(".jsonl",), inputs=(answers, options.guidelines))
    guidelines = None if options.guidelines is None else read_guidelines(options.guidelines)
    found = read_input(answers, options, options.seed)
    lock = output.with_name(f".{output.name}.lock")
    with alone(lock, output, "selfj rate"):
        file, notes = _opened(output, found, options)
        session = RatingSession(file)
        for note in (*found.notes, *notes):
            say(f"note: {shown(note)}", file=sys.stderr)
        application = rating_application(
            session,
            options.host,
            rater=None if options.rater is None else name_of(options.rater),
            guidelines=guidelines,
            show_reference=options.show_reference,
        )
        serve_page(application, options)
        return RatingRun(
            printable(output),
            file.scale,
            found.planned,
            len(session.answers),
            {name: session.progress(name) for name in session.raters},
        )


rate = keywords(rate_answers, RateOptions)


def _opened(path: Path, found: Input, options: RateOptions) -> tuple[RatingFile, list[str]]:
    """The file of ratings, new or with those it has, and what there is to say of it."""
    if not path.exists():
        file = RatingFile(path, found.answers, found.scale)
        file.write()
        return file, []
    file, notes = read_rating_file(path)
    ours, given = ({key_of(a): a for a in answers} for answers in (file.answers, found.answers))
    if ours.keys() != given.keys():
        message = "holds ratings of other answers; name another `output`, or give the same answers."
        raise DataError(message, path=path)
    for name, what in (("inclusion", "inclusion probabilities"), ("rating", "pilot ratings")):
        if any(getattr(a, name) != getattr(given[key], name) for key, a in ours.items()):
            # An estimate weighs the ratings by what the file says.
            raise DataError(
                f"belongs to a plan with other {what}; give the plan that it was begun with, or "
                "name another `output`.",
                path=path,
                field=name,
            )
    if file.scale != found.scale:
        low, high = file.scale
        message = f"has ratings from {low:g} to {high:g}; give this `scale`, or another `output`."
        raise DataError(message, path=path)
    if file.given:
        notes.append(f"continuing {printable(path)}, in the order of that file")
    return file, notes
