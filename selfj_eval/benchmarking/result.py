"""The correlation table, and the robustness of raters: every number has a name and a type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfj_eval.benchmarking.robustness.result import Robustness
from selfj_eval.jobs.results import Result, plain
from selfj_eval.metrics import Metric

KIND = "selfj-bench"
ROBUST = "selfj-bench-robust"


@dataclass(frozen=True, slots=True)
class Cell:
    """A rater's agreement with the ratings of one model's answers.

    Attributes:
        metric: The correlation.
        unscored: How many of the answers have no score.
    """

    metric: Metric
    unscored: int

    def to_dict(self) -> dict[str, Any]:
        """The correlation with the count beside it."""
        return self.metric.to_dict() | {"unscored": self.unscored}


@dataclass(frozen=True, slots=True)
class Published:
    """The published row of the same rater, x 100.

    Attributes:
        rater: What it is called there.
        average: Over the models there.
        cells: By our column, of the same models.
    """

    rater: str
    average: float | None
    cells: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RaterRow:
    """A rater, asked in one way, on one set.

    Attributes:
        rater: Its name.
        reference: Whether it was asked with the reference.
        cells: By answering model.
        average: The plain mean of the cells.
        pooled: The correlation over all answers.
        scored, unscored: Counts of answers.
        first_error: Why the first unscored one is.
        trimmed: How many answers were too long and were trimmed.
        description: What decides the scores.
        published: None where there is no such row.
        scores: The scores file, within the output folder.
    """

    rater: str
    reference: bool
    cells: Mapping[str, Cell]
    average: Metric
    pooled: Metric
    scored: int
    unscored: int
    first_error: str | None
    trimmed: int
    description: Mapping[str, Any]
    published: Published | None
    scores: str


@dataclass(frozen=True, slots=True)
class Table:
    """All raters on one set.

    Attributes:
        name, path: Of the set; None where the answers were in memory.
        records, unrated, instructions: Rated answers, those without a rating, distinct
            instructions.
        columns: Answering models that have a column.
        too_few: The others, and how many answers they have.
        not_run: Raters that need references, where the set has none.
        warnings: What a reader has to know of the ratings.
        rows: With reference first.
    """

    name: str
    path: str | None
    records: int
    unrated: int
    instructions: int
    columns: Sequence[str]
    too_few: Mapping[str, int]
    not_run: Sequence[str]
    warnings: Sequence[str]
    rows: Sequence[RaterRow]


@dataclass(frozen=True, slots=True)
class Intervals:
    """How intervals were bootstrapped."""

    confidence: float = 0.95
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Bench(Result):
    """The correlation table.

    Attributes:
        metric: What stands in the cells: ``pearson`` or ``spearman``.
        settings: Of the intervals.
        sets: A table each.
        provenance: Command, time and versions.
        folder: Where everything was written.
        written: The files there.
        notices: What was recognised or ignored in a set, by its file.
        left_out: What was not written, and why.
    """

    metric: str
    settings: Intervals
    sets: Sequence[Table]
    provenance: Mapping[str, Any]
    folder: str = ""
    written: Sequence[str] = ()
    notices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    left_out: Sequence[str] = ()

    @property
    def complete(self) -> bool:
        """Whether every rater has a score for every answer."""
        return not any(t.not_run or any(row.unscored for row in t.rows) for t in self.sets)

    def to_dict(self) -> dict[str, Any]:
        """The document that ``selfj bench`` prints as JSON and writes as ``bench.json``."""
        own = ("metric", "settings", "sets", "provenance")
        return {"kind": KIND, **{name: plain(getattr(self, name)) for name in own}}

    def rows(self) -> list[dict[str, Any]]:
        """One row per number, as in ``table.csv``."""
        from selfj_eval.benchmarking.rendering import CSV_COLUMNS, csv_rows

        return [dict(zip(CSV_COLUMNS, row, strict=True)) for row in csv_rows(self)]

    def __str__(self) -> str:
        from selfj_eval.benchmarking.rendering import text

        return text(self)


@dataclass(frozen=True, slots=True, repr=False)
class RobustBench(Result):
    """The robustness of raters.

    Attributes:
        sets: By set, and by the rater's name with the way it was asked.
        provenance: Command, time and versions.
        folder: Where everything was written.
        notices: What was recognised or ignored in a set, by its file.
    """

    sets: Mapping[str, Mapping[str, Robustness]]
    provenance: Mapping[str, Any]
    folder: str = ""
    notices: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every answer and every changed one has a score, or was refused."""
        tried = [found for rows in self.sets.values() for found in rows.values()]
        changes = [change for found in tried for change in found.changes.values()]
        bases = [found.base.unscored for found in tried]
        return not any([*bases, *(change.unscored for change in changes)])

    def to_dict(self) -> dict[str, Any]:
        """The document of a trial as JSON."""
        return {"kind": ROBUST, "sets": plain(self.sets), "provenance": plain(self.provenance)}

    def rows(self) -> list[dict[str, Any]]:
        """One row per set, rater and change."""
        return [
            {"set": name, "rater": rater} | row
            for name, found in self.sets.items()
            for rater, one in found.items()
            for row in one.rows()
        ]

    def __str__(self) -> str:
        from selfj_eval.benchmarking.robustness.rendering import text
        from selfj_eval.errors import shown

        parts = [f"{shown(name)}\n{text(found)}\n" for name, found in self.sets.items()]
        return "\n".join([*parts, f"written to {self.folder}: robust.md, robust.json"])
