"""What came of a collection: counts of every source, and what the run was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from selfj_eval.collection.options import FilterOptions
from selfj_eval.jobs.results import Result, first_of, plain, table

_SHOWN = 10  # failures


@dataclass(frozen=True)
class SourceSummary:
    """What became of one source.

    Attributes:
        name, category, licence: The source's.
        expected: Instructions that the authors kept of it.
        rows: Rows that were read; this and the following are None where it failed.
        instructions: Instructions in them.
        dropped: How many of these each step dropped, in the order of the steps.
        kept: How many are left.
        error: Why it failed, or None.
    """

    name: str
    category: str
    expected: int
    licence: str
    rows: int | None = None
    instructions: int | None = None
    dropped: Mapping[str, int] | None = None
    kept: int | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """What is known of it."""
        found = dict(vars(self))
        gone = ("error",) if self.error is None else ("rows", "instructions", "dropped", "kept")
        return {name: plain(value) for name, value in found.items() if name not in gone}

    def cells(self) -> tuple[str, ...]:
        """The source as a line of the table."""
        if self.error is not None:
            return (self.name, "-", "-", "-", "FAILED", f"{self.expected:,}")
        counts = (self.rows, self.instructions, sum((self.dropped or {}).values()), self.kept)
        return (self.name, *(f"{n:,}" for n in (*counts, self.expected)))


@dataclass(frozen=True)
class RunSettings:
    """What decided which instructions are in a collection.

    Attributes:
        filters: The limits.
        evaluation: Evaluation sets, or files of instructions, that were kept out.
        limit: Only so many rows of each source were read.
        threshold: Least similarity of near duplicates.
    """

    filters: FilterOptions
    evaluation: tuple[str, ...]
    limit: int | None
    threshold: float


@dataclass(frozen=True)
class Collection(Result):
    """A collection that was made.

    Attributes:
        kind: ``selfj-collection``.
        kept: Instructions in it.
        expected: As many as the authors kept of these sources.
        failed: Names of the sources that failed.
        settings: What it was made with.
        sources: What became of each source, in their order.
        versions: Of this program and of Python.
        removed: Files of sources that failed or were not named, removed from the folder.
        output: The folder.
        seconds: Time that it took.
        run: Command, time and versions.
    """

    kind: str
    kept: int
    expected: int
    failed: tuple[str, ...]
    settings: RunSettings
    sources: tuple[SourceSummary, ...]
    versions: Mapping[str, str]
    removed: tuple[str, ...]
    output: str
    seconds: float = 0.0
    run: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def dropped(self) -> dict[str, int]:
        """How many instructions each step dropped, of all sources together."""
        found: dict[str, int] = {}
        for source in self.sources:
            for name, count in (source.dropped or {}).items():
                found[name] = found.get(name, 0) + count
        return found

    def summary(self) -> dict[str, Any]:
        """The file ``summary.json``."""
        hidden = ("removed", "output", "seconds", "run")
        return {name: plain(value) for name, value in vars(self).items() if name not in hidden}

    def to_dict(self) -> dict[str, Any]:
        """The summary with the files that were removed, and how it was made."""
        return self.summary() | {"removed": list(self.removed)} | dict(self.run)

    def rows(self) -> list[dict[str, Any]]:
        """One row per source."""
        return [
            dict(vars(source))
            | {"dropped": None if source.dropped is None else sum(source.dropped.values())}
            for source in self.sources
        ]

    def __str__(self) -> str:
        header = ("source", "rows", "instructions", "dropped", "kept", "paper's")
        dropped = self.dropped
        total = ("all", "", "", f"{sum(dropped.values()):,}", f"{self.kept:,}")
        cells = [header, *(source.cells() for source in self.sources)]
        lines = [table([*cells, (*total, f"{self.expected:,}")]), "", "dropped by step"]
        lines.append(table([(name, f"{count:,}") for name, count in dropped.items()]))
        failed = [source for source in self.sources if source.error is not None]
        reasons = [f"FAILED {source.name}: {source.error}" for source in failed]
        lines += first_of(reasons, _SHOWN, " that failed, in summary.json")
        if self.removed:
            names = ", ".join(self.removed)
            lines.append(f"  removed, of sources that failed or were not named: {names}")
        took = f"this run took {self.seconds:.0f} s"
        return "\n".join([*lines, f"written to {self.output}: summary.json; {took}"])
