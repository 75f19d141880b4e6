"""The numbers of many answers as columns: what is filtered and sorted."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from selfj_eval.judging.scales import scale_of
from selfj_eval.prompts.labels import DIGITS, MAX_SCORE, MIN_SCORE

Floats = npt.NDArray[np.float64]
ABSENT, UNSCORED, SCORED = 0, 1, 2
"""Whether a judge's files have an answer, and whether it has a score there."""


@dataclass(frozen=True)
class JudgeColumn:
    """One judge's scores.

    Attributes:
        name: What to call the judge.
        files: Numbers of its files.
        scale: Ends of its scores' scale; None where it is not known.
        labels: What its probabilities are of; empty where that is not known.
        state: ``ABSENT``, ``UNSCORED`` or ``SCORED`` for each answer.
        score: NaN where there is none.
        disagreement: ``|score - rating|``, both on 0..9; NaN where one of them is missing or its
            scale is not known.
    """

    name: str
    files: tuple[int, ...]
    scale: tuple[float, float] | None
    labels: tuple[str, ...]
    state: npt.NDArray[np.int8]
    score: Floats
    disagreement: Floats


@dataclass(frozen=True)
class AnswerColumns:
    """What is known of each answer, in the order of their numbers.

    Attributes:
        judges: At least one.
        rating: As given if all have one scale, else on 0..9; NaN where there is none.
        rating_scale: Ends of the scale of ``rating``; None where it is not known.
        model, category: Index in ``models`` or ``categories``; -1 where there is none.
        models, categories: Their names, sorted.
        length: Characters of the answer.
    """

    judges: Sequence[JudgeColumn]
    rating: Floats
    rating_scale: tuple[float, float] | None
    model: npt.NDArray[np.int64]
    category: npt.NDArray[np.int64]
    models: Sequence[str]
    categories: Sequence[str]
    length: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rating)

    @property
    def rated(self) -> int:
        """How many answers have a rating."""
        return int((~np.isnan(self.rating)).sum())

    @cached_property
    def unscored(self) -> npt.NDArray[np.bool_]:
        """Whether at least one judge gave no score."""
        found = np.zeros(len(self), bool)
        for judge in self.judges:
            found |= judge.state == UNSCORED
        return found

    @cached_property
    def gap(self) -> Floats:
        """The first two judges' difference, ``|first - second|``; NaN without two scores."""
        if len(self.judges) < 2:
            return np.full(len(self), np.nan)
        return np.abs(self.judges[0].score - self.judges[1].score)


@dataclass
class FileColumn:
    """One file's scores while it is read.

    Attributes:
        judge: What the run file calls the judge, or None.
        stem: What to call it by its file.
        run: The run file.
    """

    judge: str | None
    stem: str
    run: Mapping[str, Any]
    numbers: array[int] = field(default_factory=lambda: array("q"))
    scores: array[float] = field(default_factory=lambda: array("d"))

    def add(self, n: int, score: float | None) -> None:
        """Add the score of an answer, or that it is unscored."""
        self.numbers.append(n)
        self.scores.append(np.nan if score is None else score)


class Names:
    """Texts of which many are equal, as numbers."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._column = array("q")

    def add(self, name: str | None) -> None:
        """Add the next answer's."""
        code = -1 if name is None else self._codes.setdefault(name, len(self._codes))
        self._column.append(code)

    def complete(self, n: int, name: str | None) -> None:
        """Add a name that was missing."""
        if name is not None and self._column[n] < 0:
            self._column[n] = self._codes.setdefault(name, len(self._codes))

    def sorted(self) -> tuple[npt.NDArray[np.int64], list[str]]:
        """Each answer's index in the sorted names, or -1; and these names."""
        names = sorted(self._codes)
        place = {name: k for k, name in enumerate(names)}
        new = np.array([*(place[name] for name in self._codes), -1], np.int64)  # [-1] is the last
        return new[np.frombuffer(self._column, np.int64)], names


class Filling:
    """The columns while files are read."""

    def __init__(self) -> None:
        self.files: list[FileColumn] = []
        self._models, self._categories = Names(), Names()
        self._rating, self._quality, self._length = array("d"), array("d"), array("q")
        self._scales: set[tuple[float | None, float | None]] = set()

    def add(self, model: str | None, category: str | None, length: int) -> None:
        """Add an answer; its rating is added by ``rate``."""
        self._models.add(model)
        self._categories.add(category)
        self._length.append(length)
        self._rating.append(np.nan)
        self._quality.append(np.nan)

    def complete(self, n: int, model: str | None, category: str | None, length: int) -> None:
        """Add what was not known of an answer, and another file says."""
        self._models.complete(n, model)
        self._categories.complete(n, category)
        self._length[n] = max(self._length[n], length)

    def rate(
        self, n: int, rating: float, quality: float, scale: tuple[float | None, float | None]
    ) -> None:
        """Add the rating of an answer, unless another file has rated it.

        Args:
            n: Number of the answer.
            rating: As given.
            quality: On 0..9, or as given where its scale is not known.
            scale: Its ends.
        """
        if np.isnan(self._rating[n]):
            self._rating[n], self._quality[n] = rating, quality
            self._scales.add(scale)

    def columns(self) -> AnswerColumns:
        """All columns, once everything is read."""
        rating, quality = np.frombuffer(self._rating), np.frombuffer(self._quality)
        scale: tuple[float, float] | None = (MIN_SCORE, MAX_SCORE)
        if len(self._scales) == 1:
            (ends,) = self._scales
            scale = None if ends[0] is None or ends[1] is None else (ends[0], ends[1])
        elif any(None in ends for ends in self._scales):
            scale = None
        else:
            rating = quality
        known = not any(None in ends for ends in self._scales)
        rated = _on_nine(quality, (MIN_SCORE, MAX_SCORE) if known else None)
        model, models = self._models.sorted()
        category, categories = self._categories.sorted()
        judges = list(_judges(self.files, rated, len(rating)))
        length = np.frombuffer(self._length, np.int64)
        return AnswerColumns(judges, rating, scale, model, category, models, categories, length)


def _on_nine(values: Floats, scale: tuple[float, float] | None) -> Floats:
    """Values on 0..9; all NaN where their scale is not known and they do not fit 0..9 as it is."""
    if scale is not None:
        return (values - scale[0]) / (scale[1] - scale[0]) * (MAX_SCORE - MIN_SCORE) + MIN_SCORE
    known = values[~np.isnan(values)]
    fit = bool(((known >= MIN_SCORE) & (known <= MAX_SCORE)).all())
    return values if fit else np.full(len(values), np.nan)


def _judges(files: Sequence[FileColumn], rated: Floats, n: int) -> Iterable[JudgeColumn]:
    """Files of one judge with different answers are one column: one for each model, such as."""
    columns: list[list[int]] = []
    taken: list[npt.NDArray[np.bool_]] = []
    for k, file in enumerate(files):
        numbers = np.frombuffer(file.numbers, np.int64)
        for files_here, here in zip(columns, taken, strict=True):
            if files[files_here[0]].judge == file.judge and not here[numbers].any():
                files_here.append(k)
                here[numbers] = True
                break
        else:
            columns.append([k])
            taken.append(np.zeros(n, bool))
            taken[-1][numbers] = True
    names = _names([[files[k] for k in own] for own in columns])
    for name, own in zip(names, columns, strict=True):
        state, score = np.full(n, ABSENT, np.int8), np.full(n, np.nan)
        for k in own:
            numbers = np.frombuffer(files[k].numbers, np.int64)
            score[numbers] = np.frombuffer(files[k].scores)
            state[numbers] = np.where(np.isnan(score[numbers]), UNSCORED, SCORED)
        scale, labels = _scale_and_labels(files[own[0]].run)
        off = np.abs(_on_nine(score, scale) - rated)
        yield JudgeColumn(name, tuple(own), scale, labels, state, score, off)


def _names(columns: Sequence[Sequence[FileColumn]]) -> list[str]:
    """A name for each column that no other has."""
    stems = ["score" if len(files) > 1 else files[0].stem for files in columns]
    names = [files[0].judge or stem for files, stem in zip(columns, stems, strict=True)]
    if len({*names}) == len(names):
        return names
    if len({*stems}) == len(stems):
        return stems
    return [f"{name} ({k})" for k, name in enumerate(names, 1)]


def _scale_and_labels(
    run: Mapping[str, Any],
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    judge = run.get("judge")
    if not isinstance(judge, Mapping):
        return None, DIGITS
    ends, labels = scale_of(judge), judge.get("labels")
    own = tuple(map(str, labels)) if isinstance(labels, Mapping) else DIGITS
    return (ends if all(map(np.isfinite, ends)) else None), own
