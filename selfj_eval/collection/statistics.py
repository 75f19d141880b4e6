"""What a collection holds: instructions by source and category, and how long they are."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfj_eval.collection.counts import CategoryCount, Histogram, Lengths, SourceCount, Statistics
from selfj_eval.collection.sampling import collection_files, read_batches
from selfj_eval.collection.sources import CATEGORIES, load_sources
from selfj_eval.errors import DataError, printable
from selfj_eval.files.documents import read_json

KIND = "selfj-collection-statistics"
PUBLISHED = {"Common": 3_112_428, "Coding": 1_815_202, "Academic": 826_782}
"""Instructions by category as published (arXiv 2409.00935): 54.1, 31.5 and 14.4 % of 5,754,412."""
EDGES = {
    "characters": (
        *(0, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700),
        *(1000, 1500, 2000, 3000, 5000, 7000, 10_000),
    ),
    "words": (
        *(0, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700),
        *(1000, 1500, 2000),
    ),
}
"""Where the bins of the histograms begin; a bin ends before the next, the last one never."""
_SUMMARY_KIND = "selfj-collection"


@dataclass(slots=True)
class _Lengths:
    """How many instructions have which length; as large as there are different lengths."""

    characters: Counter[int] = field(default_factory=Counter)
    words: Counter[int] = field(default_factory=Counter)

    def add(self, texts: Sequence[str]) -> None:
        self.characters.update(map(len, texts))
        self.words.update(len(text.split()) for text in texts)


def describe(folder: Path, progress: Callable[[int], None] = lambda _: None) -> Statistics:
    """Count a collection; its files are read a batch of rows at a time.

    Args:
        folder: What ``selfj collect run`` wrote: ``<Category>/<source>.parquet`` and, if it is
            there, ``summary.json``, which adds what was read and dropped of each source.
        progress: Called with the number of files that have just been read.

    Returns:
        The counts; without root verbs.

    Raises:
        DataError: If there is no collection, or it contains a file that does not belong to one.
    """
    files = collection_files(folder)
    found = _summary(folder / "summary.json")
    lengths = {name: _Lengths() for name in CATEGORIES}
    kept: dict[tuple[str, str], int] = {}
    for file in files:
        name, category = printable(file.stem), file.parent.name
        rows = 0
        for batch in read_batches(file, ("instruction", "source", "category")):
            _check(batch, name, category, file)
            lengths[category].add(batch["instruction"])
            rows += len(batch["instruction"])
        kept[category, name] = rows
        progress(1)
    total = sum(kept.values())
    sources = _sources(found, kept, total)
    return Statistics(
        kind=KIND,
        kept=total,
        published=sum(PUBLISHED.values()),
        categories=tuple(_category(name, sources, total) for name in CATEGORIES),
        sources=tuple(sources),
        dropped=dict(sum((Counter(s.dropped or {}) for s in sources), Counter[str]())),
        lengths={
            name: Lengths(
                edges=tuple(edges),
                by_category={c: _histogram(getattr(lengths[c], name), edges) for c in lengths},
            )
            for name, edges in EDGES.items()
        },
        notes=tuple(_notes(found, kept)),
    )


def _check(batch: Mapping[str, list[Any]], name: str, category: str, file: Path) -> None:
    for column, expected in (("source", name), ("category", category)):
        if others := set(batch[column]) - {expected}:
            raise DataError(
                f"expected {expected!r} in every row, as the file's path says, got "
                f"{min(map(str, others))!r:.60}; put the file back, or make it again with "
                "`selfj collect run`.",
                path=file,
                field=column,
            )
    if None in batch["instruction"]:
        raise DataError("a row has no text.", path=file, field="instruction")


def _summary(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What the run's summary says of each source, by category and name; nothing without one."""
    if not path.is_file():
        return {}
    summary = read_json(path)
    if not isinstance(summary, dict) or summary.get("kind", _SUMMARY_KIND) != _SUMMARY_KIND:
        raise DataError("is not a summary of `selfj collect run`.", path=path, field="kind")
    found, entries = {}, summary.get("sources") or []
    if not isinstance(entries, list):
        raise DataError("expected a list of sources.", path=path, field="sources")
    for at, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise DataError("has no name.", path=path, place=f"source {at}", field="name")
        if entry.get("category") not in CATEGORIES:
            message = f"expected one of {', '.join(CATEGORIES)}, got {entry.get('category')!r:.60}."
            raise DataError(message, path=path, place=f"source {at}", field="category")
        found[entry["category"], entry["name"]] = entry
    return found


def _sources(
    found: Mapping[tuple[str, str], Mapping[str, Any]],
    kept: Mapping[tuple[str, str], int],
    total: int,
) -> list[SourceCount]:
    """By category, the largest first."""
    keys = dict.fromkeys([*found, *kept])
    published: dict[str, int] = {}
    if any(_count(found.get(key, {}).get("expected")) is None for key in keys):
        published = {source.name: source.expected for source in load_sources()}
    sources = []
    for category, name in keys:
        entry, rows = found.get((category, name), {}), kept.get((category, name), 0)
        expected = _count(entry.get("expected"))
        dropped = entry.get("dropped")
        error = entry.get("error")
        sources.append(
            SourceCount(
                name=name,
                category=category,
                published=published.get(name) if expected is None else expected,
                kept=rows,
                share=_share(rows, total),
                read=_count(entry.get("rows")),
                instructions=_count(entry.get("instructions")),
                dropped={str(step): _count(n) or 0 for step, n in dropped.items()}
                if isinstance(dropped, dict)
                else None,
                error=None if error is None else str(error),
            )
        )
    order = {name: at for at, name in enumerate(CATEGORIES)}
    return sorted(sources, key=lambda s: (order[s.category], -s.kept, s.name))


def _category(name: str, sources: Sequence[SourceCount], total: int) -> CategoryCount:
    kept = [source.kept for source in sources if source.category == name]
    return CategoryCount(
        name=name,
        sources=sum(rows > 0 for rows in kept),
        published=PUBLISHED[name],
        published_share=_share(PUBLISHED[name], sum(PUBLISHED.values())),
        kept=sum(kept),
        share=_share(sum(kept), total),
    )


def _histogram(counted: Mapping[int, int], edges: Sequence[int]) -> Histogram:
    counts = [0] * len(edges)
    for length, n in counted.items():
        counts[bisect_right(edges, length) - 1] += n
    total, ordered = sum(counts), sorted(counted)
    if not total:
        return Histogram(0, tuple(counts), None, None, None, None, None, None)
    return Histogram(
        n=total,
        counts=tuple(counts),
        mean=sum(length * n for length, n in counted.items()) / total,
        min=ordered[0],
        p5=_quantile(counted, ordered, 0.05 * total),
        median=_quantile(counted, ordered, 0.5 * total),
        p95=_quantile(counted, ordered, 0.95 * total),
        max=ordered[-1],
    )


def _quantile(counted: Mapping[int, int], ordered: Sequence[int], wanted: float) -> int:
    """The smallest length that so many do not exceed."""
    below = 0
    for length in ordered:
        below += counted[length]
        if below >= wanted:
            return length
    return ordered[-1]


def _notes(
    found: Mapping[tuple[str, str], Mapping[str, Any]], kept: Mapping[tuple[str, str], int]
) -> list[str]:
    """Where summary and files say different things; the files count."""
    notes = (
        []
        if found
        else ["There is no summary.json, so the numbers read and dropped are not known."]
    )
    for key, entry in found.items():
        said, rows = _count(entry.get("kept")), kept.get(key, 0)
        if said is not None and said != rows:
            notes.append(f"{key[1]}: summary.json says {said:,} kept, the file has {rows:,} rows.")
    notes += [f"{key[1]}: not in summary.json." for key in kept if found and key not in found]
    return notes


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _share(part: int, total: int) -> float | None:
    return part / total if total else None
