"""Scored answers in a file, with the ratings and texts that belong to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from selfj_eval.errors import DataError, counted, printable
from selfj_eval.files.atomic import run_file
from selfj_eval.files.documents import read_json
from selfj_eval.files.hashes import sha256_of
from selfj_eval.judging.scored_rows import Scored as Scored
from selfj_eval.judging.scored_rows import ScoredRows
from selfj_eval.raters.specs import short_name
from selfj_eval.records.hub import HubRows, fetched
from selfj_eval.records.options import ScaleOptions
from selfj_eval.records.reading import refuse_repeated_ids
from selfj_eval.records.record import RECORD_FIELDS, Judgment, Record

_RATING = ("rating", "rating_min", "rating_max", "raters", "inclusion")
_rating_of = attrgetter(*_RATING)


@dataclass(frozen=True)
class Scores:
    """A file of scored answers.

    Attributes:
        name: What to call the judge: as the run file says, else the file's name.
        path: The file.
        sha256: Of the file's bytes.
        answers: In the order of the file.
        run: The run file beside it: judge, prompt, versions, command. Empty when there is none.
        ratings: The file that ratings were taken from, or None.
        chosen: Ids of the rows of ``ratings`` with ``inclusion``, rated or not, in their order.
        warnings: What did not fit together, as sentences.
    """

    name: str
    path: str
    sha256: str
    answers: Sequence[Scored]
    run: Mapping[str, Any] = field(default_factory=dict)
    ratings: str | None = None
    chosen: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def rated(self) -> list[Scored]:
        """The answers with a score and a rating: those that metrics are computed on."""
        return [a for a in self.answers if a.score is not None and a.rating is not None]


RatingsLike: TypeAlias = str | Path | Iterable[Mapping[str, Any]]
"""Ratings: a file, or rows in memory."""
if TYPE_CHECKING:
    from selfj_eval.judging.score import ScoreRun
    from selfj_eval.records.inputs import Answers

    ScoresLike: TypeAlias = Scores | ScoreRun | Answers
    """Scored answers: a file, rows in memory, or what a verb returned."""


def read_scores(path: str | Path, *, ratings: RatingsLike | None = None) -> Scores:
    """Read scored answers from a file; ``as_scores`` says more."""
    return as_scores(path, ratings=ratings)


def as_scores(
    given: ScoresLike,
    *,
    ratings: RatingsLike | None = None,
    scale: ScaleOptions | None = None,
) -> Scores:
    """Scored answers, from wherever they are.

    Args:
        given: A file: what ``selfj score`` wrote, any file (.jsonl, .json, .csv, .parquet) with
            ``id`` and ``score``, or lm-eval's ``samples_*.jsonl`` of a ``selfj_judge_*`` task. Or
            what ``score`` returned, or rows in memory. A null or empty score is an unscored
            answer. A file may be on the hub (``hf://datasets/...``), with its run file.
        ratings: A file or rows with ``id`` and ``rating``, or ``ratings``; with ``rater`` one row
            for each rater of an answer. They replace the ratings in ``given``; other fields of a
            record that it lacks, such as texts, are taken from it too.
        scale: The scale of ratings that come without one, and what stands for no rating.

    A rating outside its scale is skipped, with a warning.

    Raises:
        DataError: Naming file, place and field, if a row is not a scored answer; also when the two
            have no id in common.
        TypeError: If it is something else.
    """
    own = getattr(given, "scores", None)  # what score() returned
    if isinstance(own, Scores):
        given = own
    scale = scale or ScaleOptions()
    if not isinstance(given, Scores):
        given = _read(given, scale)
    elif scale.changes_ratings:
        answers, warnings = _answers([a.row() for a in given.answers], scale, score=True)
        given = replace(given, answers=answers, warnings=[*given.warnings, *warnings])
    return given if ratings is None else _with_ratings(given, ratings, scale)


def _read(given: Any, scale: ScaleOptions) -> Scores:
    given = fetched(given, with_run=True)
    path = Path(given) if isinstance(given, str | Path) else None
    answers, warnings = _answers(path or given, scale, score=True)
    if path is None:
        found = _in_memory("scores in memory", answers, {}, warnings)
        on_hub = isinstance(given, HubRows)
        return replace(found, name=given.name, path=given.address) if on_hub else found
    run = run_of(path)
    return Scores(
        name=judge_name(run) or stem_of(path),
        path=printable(path),
        sha256=sha256_of(path),
        answers=answers,
        run=run,
        warnings=warnings,
    )


def _in_memory(
    name: str, answers: Sequence[Scored], run: Mapping[str, Any], warnings: Sequence[str] = ()
) -> Scores:
    content = hashlib.sha256(repr(answers).encode("utf-8", "surrogatepass")).hexdigest()
    return Scores(name, f"memory:{content[:12]}", content, answers, run, warnings=warnings)


def _with_ratings(scores: Scores, ratings: RatingsLike, scale: ScaleOptions) -> Scores:
    ratings = fetched(ratings)
    path = Path(ratings) if isinstance(ratings, str | Path) else None
    in_memory = ratings.address if isinstance(ratings, HubRows) else "ratings in memory"
    others, more = _answers(ratings if path is None else path, scale, score=False)
    answers, warnings = scores.answers, [*scores.warnings, *more]
    given = {a.id: a for a in others if a.rating is not None}
    known = sum(a.id in given for a in answers)
    # An id may be unique within one file only: what is known of both answers must agree.
    other = sum(a.id in given and not same_answer(a, given[a.id]) for a in answers)
    if known and other == known:
        raise DataError(
            f"the ids are those of {scores.path}, but none of the texts match: these are "
            "ratings of other answers. Give the ratings of these answers.",
            path=path,
            field="id",
        )
    if not known:
        raise DataError(
            f"has no id in common with {scores.path}: {next(iter(given))!r} and "
            f"{answers[0].id!r} are the first ones. Give the ratings of these answers.",
            path=path,
            field="id",
        )
    if other:
        warnings.append(
            f"{counted(other, 'rating')} skipped: the id is that of an answer here, not the text"
        )
    if known < len(given):
        warnings.append(f"{counted(len(given) - known, 'rating')} without an answer here")
    own = {a.id: a for a in answers}
    matching = [a for a in others if a.id in own and same_answer(own[a.id], a)]
    given = {a.id: a for a in matching if a.rating is not None}
    return replace(
        scores,
        answers=[_merged(a, given.get(a.id)) for a in answers],
        ratings=in_memory if path is None else printable(path),
        chosen=[a.id for a in matching if a.inclusion is not None],
        warnings=warnings,
    )


def scores_of(
    records: Sequence[Record], judgments: Sequence[Judgment], *, run: Mapping[str, Any]
) -> Scores:
    """Scored answers from memory.

    Args:
        records: The answers.
        judgments: One per record, in their order.
        run: How the scores were made.
    """
    known = [f.name for f in fields(Scored) if f.name in RECORD_FIELDS and f.name != "id"]
    answers = [
        Scored(record.id, judgment.score, judgment.error, **{n: getattr(record, n) for n in known})
        for record, judgment in zip(records, judgments, strict=True)
    ]
    return _in_memory(judge_name(run) or "judge", answers, run)


def same_answer(first: Scored, second: Scored) -> bool:
    """Whether two answers of one id may be the same: no text that both have differs."""
    for name in ("question", "response"):
        one, two = getattr(first, name), getattr(second, name)
        if one is not None and two is not None and one.split() != two.split():
            return False
    return True


def distinct_names(scores: Sequence[Scores]) -> list[str]:
    """A name for each that no other has: the judge's, else the file's, else the path."""
    for names in (
        [s.name for s in scores],
        [stem_of(Path(s.path)) for s in scores],
        [s.path for s in scores],
    ):
        if len(set(names)) == len(names):
            return names
    raise DataError(f"{scores[0].path}: the same file is given twice; name each once.")


def groups(answers: Sequence[Scored]) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """A number for each distinct question, shape (n,); None unless every answer has one."""
    texts = [a.question for a in answers]
    if not texts or any(text is None for text in texts):
        return None
    number = {text: k for k, text in enumerate(sorted({t for t in texts if t is not None}))}
    return np.array([number[text] for text in texts if text is not None])


def _answers(source: Any, scale: ScaleOptions, *, score: bool) -> tuple[list[Scored], list[str]]:
    """The scored, or the rated and the chosen answers, of a file (a ``Path``) or rows in memory."""
    rows = ScoredRows(source, scale, score=score)
    answers, places = list[Scored](), list[tuple[str, str]]()
    for place, _, answer in rows:
        answers.append(answer)
        places.append((answer.id, place))
    refuse_repeated_ids(places, path=rows.path, remedy=rows.remedy)
    return answers, rows.warnings()


def _merged(answer: Scored, given: Scored | None) -> Scored:
    if given is None:
        if _rating_of(answer) == (None,) * len(_RATING):
            return answer  # as nearly all are: a copy of each would take long
        given = Scored(answer.id)
    changes: dict[str, Any] = dict(zip(_RATING, _rating_of(given), strict=True))
    for name in ("model", "category", "response", "reference"):
        if getattr(answer, name) is None:
            changes[name] = getattr(given, name)
    if answer.instruction is None:
        changes |= {"instruction": given.instruction, "messages": given.messages}
    return replace(answer, **changes)


def run_of(path: Path) -> dict[str, Any]:
    """The run file beside a file of scores: how they were made. Empty when there is none.

    Raises:
        DataError: If it is damaged.
    """
    file = run_file(path)
    if not file.exists():
        return {}
    try:
        value = read_json(file)
    except DataError as error:
        message = f"{error.message} Delete it, or score the file again."
        raise DataError(message, path=file) from error
    if not isinstance(value, dict):
        raise DataError("expected a JSON object; delete it, or score again.", path=file)
    return value


def judge_name(run: Mapping[str, Any]) -> str | None:
    """What to call the judge, as the run file says; None where it does not."""
    judge = run.get("judge")
    if not isinstance(judge, dict) or not isinstance(judge.get("model"), str):
        return None
    name = short_name(judge["model"])
    if isinstance(judge.get("adapter"), str):
        name += f" + {Path(judge['adapter']).name}"
    return name + (", no reference" if judge.get("reference") is False else "")


def stem_of(path: Path) -> str:
    """What to call a judge by its file of scores."""
    return path.name.removesuffix(path.suffix).removesuffix(".scores").removeprefix("scores_")
