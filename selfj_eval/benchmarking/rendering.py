"""The table as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

from selfj_eval.benchmarking.published import published
from selfj_eval.benchmarking.result import Bench, Published, RaterRow, Table
from selfj_eval.errors import shown
from selfj_eval.files.formulas import guarded
from selfj_eval.jobs.results import table as aligned
from selfj_eval.metrics import Metric

_SECTIONS = ((True, "with reference"), (False, "without reference"))
_TITLES = {"pearson": "Pearson", "spearman": "Spearman"}
CSV_COLUMNS = (
    *("set", "reference", "rater", "kind", "column", "metric", "value", "low", "high", "n"),
    *("unscored", "published"),
)


def sections(table: Table) -> Iterator[tuple[str, list[RaterRow]]]:
    """The rows of a set with and without reference, by title; empty sections are left out."""
    for reference, title in _SECTIONS:
        rows = [row for row in table.rows if row.reference is reference]
        if rows:
            yield title, rows


def number(metric: Metric) -> str:
    """A value x 100; a dash where it is undefined."""
    return "-" if metric.value is None else f"{round(100 * metric.value, 1) + 0.0:.1f}"


def interval(metric: Metric) -> str:
    """Its interval x 100, empty where it has none."""
    if metric.interval is None:
        return ""
    return f"[{round(100 * metric.interval.low)}, {round(100 * metric.interval.high)}]"


def caption(document: Bench, table: Table) -> str:
    """What the numbers of a set are."""
    return (
        f"{_TITLES[document.metric]} x 100 of scores and ratings, "
        f"{document.settings.confidence:.0%} intervals from a bootstrap over the "
        f"{table.instructions:,} instructions; {table.records:,} rated answers"
    )


def notes(table: Table) -> list[str]:
    """What a reader has to know of a set's rows, as sentences."""
    found = list(table.warnings)
    if names := table.not_run:
        found.append(f"NOT RUN, because there are no references: {', '.join(names)}.")
    if few := table.too_few:
        found.append(f"Without a column (too few answers, or not chosen): {', '.join(few)}.")
    if table.unrated:
        found.append(f"{table.unrated:,} answers without a rating are skipped.")
    for row in table.rows:
        name = f"{row.rater} ({'with' if row.reference else 'without'} reference)"
        if row.unscored:
            found.append(
                f"{name}: {row.unscored:,} of {table.records:,} answers are unscored and "
                f"skipped; first: {row.first_error}"
            )
        if row.trimmed:
            found.append(f"{name}: {row.trimmed:,} answers were too long and were trimmed.")
        reasons = {"pooled": row.pooled.undefined}
        reasons |= {column: cell.metric.undefined for column, cell in row.cells.items()}
        for column, reason in reasons.items():
            if reason:
                found.append(f"{name}: no correlation for {column}: {reason}.")
    return found


GridCell = tuple[str, str, str | None]
"""Value, interval, and the published value."""


def grid(
    table: Table, rows: Sequence[RaterRow]
) -> tuple[list[str], list[tuple[str, list[GridCell]]]]:
    """The table's header, and for each rater its name and cells."""
    columns = table.columns
    # Published averages are over models: not to stand beside a correlation over all answers.
    paper = bool(columns) and any(row.published for row in rows)
    named = [*columns, "average", "pooled"] if columns else ["all"]
    lines = []
    for row in rows:
        known = row.published or Published("", None, {})
        cells: list[GridCell] = []
        for name in columns:
            theirs, metric = known.cells.get(name), row.cells[name].metric
            shown = theirs and f"{theirs:.1f}"
            cells.append((number(metric), interval(metric), shown or None))
        if columns:
            cells.append((number(row.average), interval(row.average), None))
        cells.append((number(row.pooled), interval(row.pooled), None))
        if paper:
            text = "" if known.average is None else f"{known.average:.1f}"
            cells.append((text, "", None))
        lines.append((row.rater, cells))
    return ["rater", *named, *(["paper's average"] if paper else [])], lines


def markdown(document: Bench) -> str:
    """The whole document."""
    parts = ["# Agreement of raters with ratings", ""]
    for table in document.sets:
        parts += [f"## {_md(table.name)}", "", f"{caption(document, table)}.", ""]
        for title, rows in sections(table):
            header, body = grid(table, rows)
            parts += [f"{title.capitalize()}:", "", _md_line(map(_md, header))]
            parts.append(_md_line(["---", *["---:"] * (len(header) - 1)]))
            parts += [_md_line([_md(name), *map(_md_cell, cells)]) for name, cells in body]
            parts.append("")
        parts += [*(f"- {_md(note)}" for note in notes(table)), ""]
    parts += [_md_published(), ""]
    return "\n".join(parts)


def latex(document: Bench) -> str:
    """A ``tabular`` for each set (packages booktabs and graphicx), ready for ``input``."""
    parts = []
    for table in document.sets:
        width = len(table.columns) + 2 if table.columns else 1
        paper = bool(table.columns) and any(row.published for row in table.rows)
        width += paper
        parts.append(f"% {_tex(table.name)}: {_tex(caption(document, table))}")
        parts += [f"\\begin{{tabular}}{{l{'r' * width}}}", "\\toprule"]
        named = [*table.columns, "average", "pooled"] if table.columns else ["all"]
        header = [*named, *(["paper's average"] if paper else [])]
        parts.append(" & ".join(["rater", *map(_tex, header)]) + " \\\\")
        for title, rows in sections(table):
            parts += ["\\midrule", f"\\multicolumn{{{width + 1}}}{{l}}{{\\emph{{{title}}}}} \\\\"]
            for name, own in grid(table, rows)[1]:
                cells = list(map(_tex_cell, own))
                cells += [""] * (width - len(cells))
                parts.append(" & ".join([_tex(name), *cells]) + " \\\\")
        parts += ["\\bottomrule", "\\end{tabular}", ""]
    return "\n".join(parts)


def csv_text(document: Bench) -> str:
    """One line per number."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows(csv_rows(document))
    return stream.getvalue()


def csv_rows(document: Bench) -> Iterator[tuple[object, ...]]:
    """One row per number, in the order of ``CSV_COLUMNS``."""
    for table in document.sets:
        for row in table.rows:
            known = row.published or Published("", None, {})
            lines: list[tuple[str, str, Metric, int | None, float | None]] = [
                ("model", name, cell.metric, cell.unscored, known.cells.get(name))
                for name, cell in row.cells.items()
            ]
            if lines:
                lines.append(("average", "", row.average, None, known.average))
            lines.append(("pooled", "", row.pooled, row.unscored, None))
            for kind, name, metric, unscored, paper in lines:
                reference = "yes" if row.reference else "no"
                about = (guarded(table.name), reference, guarded(row.rater), kind, guarded(name))
                numbers = (metric.value, metric.low, metric.high, metric.n, unscored)
                yield (
                    *about,
                    document.metric,
                    *numbers,
                    None if paper is None else paper / 100,
                )


def text(document: Bench) -> str:
    """The table for people."""
    parts = []
    for data in document.sets:
        parts.append(f"{shown(data.name)}: {caption(document, data)}")
        parts += [aligned(_lines(data, title, rows)) for title, rows in sections(data)]
        for row in data.rows:
            if data.records and row.unscored == data.records:
                parts.append(f"  NOTHING WAS SCORED by {shown(row.rater)}")
        parts += [f"  note: {shown(note)}" for note in notes(data)]
        parts.append("")
    return "\n".join([*parts, f"written to {document.folder}: {', '.join(document.written)}"])


def _lines(data: Table, title: str, rows: Sequence[RaterRow]) -> list[tuple[str, ...]]:
    averaged = bool(data.columns)
    titles = [f"mean of {len(data.columns)} models"] * averaged + ["pooled"]
    published = averaged and any(row.published for row in rows)
    end = ("paper", "unscored") if published else ("unscored",)
    lines: list[tuple[str, ...]] = [(title, *(c for t in titles for c in (t, "")), *end)]
    for row in rows:
        metrics = [*([row.average] if averaged else []), row.pooled]
        cells = [cell for metric in metrics for cell in (number(metric), interval(metric))]
        if published:
            cells.append(f"{row.published.average:.1f}" if row.published else "")
        lines.append((shown(row.rater)[:40], *cells, f"{row.unscored:,}"))
    return lines


def _md(text: object) -> str:
    return re.sub(r"([\\`*_<\[\]|])", r"\\\1", " ".join(str(text).split()))


def _md_line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _md_cell(cell: tuple[str, str, str | None]) -> str:
    value, bounds, theirs = cell
    paper = f"(paper: {theirs})" if theirs else ""
    return " ".join(part for part in (value, bounds, paper) if part)


def _tex(text: object) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {c: "\\" + c for c in "&%$#_{}"}
    shown = "".join(special.get(c, c) for c in " ".join(str(text).split()))
    return "{}" + shown if shown.startswith("[") else shown  # not an argument of the line before


def _tex_cell(cell: tuple[str, str, str | None]) -> str:
    value, bounds, theirs = cell
    value = value if value != "-" else "--"
    small = " ".join(part for part in (bounds, f"({theirs})" if theirs else "") if part)
    return f"{value} {{\\scriptsize {small}}}" if small else value


def _md_published() -> str:
    table = published()
    lines = ["## Published", "", f"{table['source']}; other answers than those above.", ""]
    for reference, title in _SECTIONS:
        lines += [f"{title.capitalize()}:", "", _md_line(["rater", *table["columns"], "average"])]
        lines.append(_md_line(["---", *["---:"] * (len(table["columns"]) + 1)]))
        for row in table["rows"]:
            if row["reference"] is reference:
                values = [f"{v:.2f}" for v in (*row["values"], row["average"])]
                lines.append(_md_line([row["rater"], *values]))
        lines.append("")
    return "\n".join(lines).rstrip()
