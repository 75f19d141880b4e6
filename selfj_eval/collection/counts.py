"""What a collection holds, in numbers: the typed document that figures and tables are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from selfj_eval.errors import shown
from selfj_eval.jobs.results import Result, plain, table

_SHOWN_VERBS = 5


@dataclass(frozen=True)
class CategoryCount:
    """A category of a collection.

    Attributes:
        name: The category.
        sources: How many sources it has.
        published: Instructions that the authors published of it.
        published_share: Of all that they published, in [0, 1].
        kept: Instructions in the collection.
        share: Of all in the collection, in [0, 1]; None of an empty one.
    """

    name: str
    sources: int
    published: int
    published_share: float | None
    kept: int
    share: float | None


@dataclass(frozen=True)
class SourceCount:
    """A source of a collection; None is what is not known.

    Attributes:
        name, category: The source's.
        published: Instructions that the authors kept of it.
        kept: Rows of its file.
        share: Of all in the collection, in [0, 1].
        read: Rows that were read.
        instructions: Instructions in them.
        dropped: How many each step dropped.
        error: Why it failed.
    """

    name: str
    category: str
    published: int | None
    kept: int
    share: float | None
    read: int | None
    instructions: int | None
    dropped: Mapping[str, int] | None
    error: str | None

    @property
    def total_dropped(self) -> int | None:
        """How many all steps dropped together."""
        return None if self.dropped is None else sum(self.dropped.values())

    def cells(self) -> list[str]:
        """The source as a line of a table."""
        from selfj_eval.collection.page import number, percent

        counts = [number(self.published), number(self.kept), percent(self.share)]
        name = self.name if self.error is None else f"{self.name}: {self.error}"
        return [name, *counts, number(self.read), number(self.total_dropped)]


@dataclass(frozen=True)
class Histogram:
    """How long the instructions of a category are; None where there are none.

    Attributes:
        n: Instructions.
        counts: How many are in each bin.
        mean, min, max: Of the lengths.
        p5, median, p95: The smallest length that at least 5, 50 or 95 % do not exceed.
    """

    n: int
    counts: tuple[int, ...]
    mean: float | None
    min: int | None
    p5: int | None
    median: int | None
    p95: int | None
    max: int | None


@dataclass(frozen=True)
class Lengths:
    """Lengths in one unit.

    Attributes:
        edges: Where the bins begin; a bin ends before the next, the last one never.
        by_category: The histogram of each category.
    """

    edges: tuple[int, ...]
    by_category: Mapping[str, Histogram]


@dataclass(frozen=True)
class NounCount:
    """A noun, and how many instructions have it with the verb."""

    noun: str
    count: int


@dataclass(frozen=True)
class VerbCount:
    """A root verb, how many instructions have it with a noun, and its most frequent nouns."""

    verb: str
    count: int
    nouns: tuple[NounCount, ...]


@dataclass(frozen=True)
class RootVerbs:
    """Root verbs of a random sample.

    Attributes:
        parser: What parsed it.
        sample: Instructions in the sample.
        seed: Of the sample.
        parsed, with_verb, with_noun: Instructions.
        shown: Instructions that have one of ``verbs`` with one of its nouns.
        verbs: The most frequent ones.
    """

    parser: str
    sample: int
    seed: int
    parsed: int
    with_verb: int
    with_noun: int
    shown: int
    verbs: tuple[VerbCount, ...]


@dataclass(frozen=True)
class Statistics(Result):
    """What a collection holds.

    Attributes:
        kind: ``selfj-collection-statistics``.
        kept: Instructions in it.
        published: As many as the authors published.
        categories: Sums, beside the published ones.
        sources: By category, the largest first.
        dropped: How many instructions each step dropped.
        lengths: In ``characters`` and in ``words`` (separated by white space).
        notes: What does not fit.
        verbs: Root verbs of a sample; None where none were wanted, or could be found.
        left_out: What was skipped because a package is missing: the reason, by part.
        provenance: Command, time and versions.
        output: The folder with the files.
        files: Their names.
    """

    kind: str
    kept: int
    published: int
    categories: tuple[CategoryCount, ...]
    sources: tuple[SourceCount, ...]
    dropped: Mapping[str, int]
    lengths: Mapping[str, Lengths]
    notes: tuple[str, ...]
    verbs: RootVerbs | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    output: str | None = None
    files: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The document, as it stands in ``stats.json``."""
        hidden = ("output", "files")
        return {name: plain(value) for name, value in vars(self).items() if name not in hidden}

    def rows(self) -> list[dict[str, Any]]:
        """One row per source."""
        return [dict(vars(s)) | {"dropped": s.total_dropped} for s in self.sources]

    def sections(self) -> Iterator[tuple[CategoryCount, list[list[str]]]]:
        """Each category that has sources, and the cells of its table, a line a source."""
        for category in self.categories:
            sources = [s for s in self.sources if s.category == category.name]
            if sources:
                yield category, [source.cells() for source in sources]

    def __str__(self) -> str:
        from selfj_eval.collection.page import HEADER, number, percent

        rows: list[tuple[str, ...]] = [("", "sources", "kept", "share", "published", "share")]
        for c in self.categories:
            theirs = (number(c.published), percent(c.published_share))
            rows.append((c.name, str(c.sources), number(c.kept), percent(c.share), *theirs))
        lines = [f"{self.kept:,} instructions", table(rows), ""]
        for category, cells in self.sections():
            lines += [table([(category.name, *HEADER[1:]), *cells]), ""]
        if self.verbs:
            found = [f"{shown(v.verb)} {v.count:,}" for v in self.verbs.verbs[:_SHOWN_VERBS]]
            lines.append(
                f"root verbs of {self.verbs.parsed:,} instructions, {self.verbs.with_noun:,} with "
                f"a noun: {', '.join(found) or 'none'}"
            )
        lines += [f"  note: {shown(note)}" for note in self.notes]
        if self.output is not None:
            lines.append(f"{shown(self.output)}: {', '.join(self.files)}")
        return "\n".join(lines)
