"""The correlation table as one self-contained HTML page; every text from the data escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from selfj_eval.benchmarking import rendering
from selfj_eval.benchmarking.published import published
from selfj_eval.benchmarking.result import Bench, RaterRow, Table
from selfj_eval.reports import figures
from selfj_eval.reports.pages import rendered


def page(document: Bench) -> str | None:
    """The page.

    Args:
        document: The correlation table.

    Returns:
        HTML without script or anything outside itself; None where the extra ``report`` is not
        installed.
    """
    try:
        import matplotlib  # noqa: F401
        from markupsafe import Markup
    except ImportError:
        return None
    return rendered(
        "bench.html",
        sets=[
            _Shown(
                table.name,
                table.columns,
                rendering.caption(document, table),
                [
                    (title, *rendering.grid(table, rows))
                    for title, rows in rendering.sections(table)
                ],
                rendering.notes(table),
                Markup(figures.averages(drawn, table.name)) if drawn else None,
            )
            for table in document.sets
            for drawn in [[row for row in table.rows if _drawn(table, row)]]
        ],
        published=published(),
        command=document.provenance["command"],
        made=document.provenance["made"],
    )


class _Shown(NamedTuple):
    """A set as the page shows it."""

    name: str
    columns: Sequence[str]
    caption: str
    sections: Sequence[
        tuple[str, Sequence[str], Sequence[tuple[str, Sequence[rendering.GridCell]]]]
    ]
    notes: Sequence[str]
    figure: str | None


def _drawn(table: Table, row: RaterRow) -> bool:
    """Whether the figure has a number to show of a row."""
    return (row.average if table.columns else row.pooled).value is not None
