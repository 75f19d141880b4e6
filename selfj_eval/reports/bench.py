"""The correlation table as one self-contained HTML page; every text from the data escaped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfj_eval import __version__
from selfj_eval.bench import rendering
from selfj_eval.bench.published import published
from selfj_eval.reports import figures
from selfj_eval.reports.texts import label


def page(document: Mapping[str, Any]) -> str | None:
    """The page.

    Args:
        document: Of ``bench.table.tabulate``, with its ``provenance``.

    Returns:
        HTML without script or anything outside itself; None where the extra ``report`` is not
        installed.
    """
    try:
        import matplotlib  # noqa: F401
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        return None
    environment = Environment(
        loader=PackageLoader("selfj_eval.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"label": label}
    sets = [
        {
            "name": table["name"],
            "columns": table["columns"],
            "caption": rendering.caption(document, table),
            "sections": [
                (title, rendering.grid(table, rows)) for title, rows in rendering.sections(table)
            ],
            "notes": rendering.notes(table),
            "figure": Markup(figures.averages(drawn, table["name"])) if drawn else None,
        }
        for table in document["sets"]
        for drawn in [[row for row in table["rows"] if _shown(table, row) is not None]]
    ]
    return environment.get_template("bench.html").render(
        sets=sets,
        published=published(),
        command=document["provenance"]["command"],
        made=document["provenance"]["made"],
        version=__version__,
    )


def _shown(table: Mapping[str, Any], row: Mapping[str, Any]) -> float | None:
    """The number of a row that the figure shows."""
    value: float | None = (row["average"] if table["columns"] else row["pooled"])["value"]
    return value
