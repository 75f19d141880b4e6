"""The statistics of a collection as Markdown, CSV rows and one self-contained HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from selfj_eval.collection.figures import Drawn
from selfj_eval.files.formulas import guarded
from selfj_eval.reports.pages import rendered
from selfj_eval.reports.texts import label

if TYPE_CHECKING:
    from selfj_eval.collection.counts import RootVerbs, Statistics

CSV_COLUMNS = (
    *("category", "name", "published", "kept", "share", "read", "instructions", "dropped"),
    "error",
)
HEADER = ("source", "published", "kept", "share", "read", "dropped")
LENGTHS = ("n", "mean", "min", "p5", "median", "p95", "max")
CAPTIONS = {
    "categories": "Instructions by category.",
    "characters": "Characters of an instruction, by category. The bins are drawn equally wide; "
    "the last one holds all longer ones.",
    "words": "Words of an instruction (separated by white space), by category.",
    "verbs": "The most frequent root verbs and, around them, their most frequent first nouns; an "
    "angle is the number of instructions with that verb and that noun.",
}


def csv_rows(document: Statistics) -> Iterator[dict[str, Any]]:
    """A row a source, with ``CSV_COLUMNS``; what is not known is empty."""
    for source in document.rows():
        row = {name: source[name] for name in CSV_COLUMNS}
        yield {k: guarded(v) if isinstance(v, str) else v for k, v in row.items()}


def verbs_caption(found: RootVerbs) -> str:
    """What the table of verbs is made of."""
    return (
        f"Of {found.parsed:,} random instructions (seed {found.seed}), parsed with "
        f"{found.parser}, {found.with_verb:,} have a verb and {found.with_noun:,} a verb "
        f"with a noun; the {len(found.verbs)} most frequent verbs with their most frequent "
        f"nouns stand for {found.shown:,} of these"
    )


def number(value: float | None) -> str:
    """A count or a length for a cell; a dash where it is not known."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def percent(value: float | None) -> str:
    """A share for a cell; a dash where it is not known."""
    return "-" if value is None else f"{value:.1%}"


def markdown(document: Statistics, figures: Iterable[str]) -> str:
    """The whole document, with links to ``figures`` (names) as SVG files beside it."""
    drawn = set(figures)

    def figure(name: str) -> list[str]:
        return [f"![{name}]({name}.svg)", "", CAPTIONS[name], ""] if name in drawn else []

    parts = ["# The instruction collection", ""]
    parts += [f"{document.kept:,} instructions; published: {document.published:,}.", ""]
    parts += [_row("category", "sources", "kept", "share", "published", "share")]
    parts += [_row("---", *["---:"] * 5)]
    for row in document.categories:
        ours = (number(row.kept), percent(row.share))
        theirs = (number(row.published), percent(row.published_share))
        parts.append(_row(row.name, row.sources, *ours, *theirs))
    parts += ["", *figure("categories"), "## Sources", ""]
    for category, lines in document.sections():
        parts += [f"{category.name}:", "", _row(*HEADER)]
        parts.append(_row("---", *["---:"] * (len(HEADER) - 1)))
        parts += [*(_row(*map(_escaped, line)) for line in lines), ""]
    if document.dropped:
        parts += ["## Dropped", "", _row("step", "instructions"), _row("---", "---:")]
        parts += [_row(_escaped(step), number(n)) for step, n in document.dropped.items()]
        parts.append("")
    parts += ["## Lengths", ""]
    for name, found in document.lengths.items():
        parts += [_row(name, *LENGTHS), _row("---", *["---:"] * len(LENGTHS))]
        for title, lengths in found.by_category.items():
            parts.append(_row(title, *(number(getattr(lengths, column)) for column in LENGTHS)))
        parts += ["", *figure(name)]
    if document.verbs:
        caption = f"{verbs_caption(document.verbs)}."
        parts += ["## Root verbs", "", caption, "", *figure("verbs")]
        parts += [_row("verb", "instructions", "nouns"), _row("---", "---:", "---")]
        for verb in document.verbs.verbs:
            nouns = ", ".join(f"{n.noun} {n.count:,}" for n in verb.nouns)
            parts.append(_row(_escaped(verb.verb), number(verb.count), _escaped(nouns)))
        parts.append("")
    notes = [*document.notes, *document.left_out.values()]
    parts += [f"- {_escaped(note)}" for note in notes]
    return "\n".join(parts).rstrip() + "\n"


def page(document: Statistics, figures: Mapping[str, Drawn]) -> str:
    """The page: no script, nothing outside itself, every text from the data escaped.

    Args:
        document: Of ``collection.statistics.describe``, with ``provenance``.
        figures: Of ``figures.draw``.
    """
    from markupsafe import Markup

    return rendered(
        "collection.html",
        filters={"number": number, "percent": percent},
        document=document,
        sections=list(document.sections()),
        header=HEADER,
        lengths=LENGTHS,
        captions=CAPTIONS,
        figures={name: Markup(drawn.page) for name, drawn in figures.items()},
        verbs_caption=verbs_caption(document.verbs) if document.verbs else None,
    )


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _escaped(text: str) -> str:
    """For Markdown: one line in which nothing is markup."""
    return re.sub(r"([\\`*_<>\[\]|!])", r"\\\1", label(text, 300))
