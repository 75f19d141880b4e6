"""Cells of tables: metrics in a terminal, any text in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from selfj_eval.errors import shown
from selfj_eval.metrics import Metric


def number(metric: Metric, digits: int = 3) -> str:
    """A metric's value as text; a dash where it is undefined."""
    return "-" if metric.value is None else f"{metric.value:.{digits}f}"


def interval(metric: Metric) -> str:
    """A metric's interval as text, empty where it has none."""
    if metric.interval is None:
        return ""
    return f"{metric.interval.low:.3f} to {metric.interval.high:.3f}"


def reasons(metrics: Iterable[Metric]) -> list[str]:
    reasons = dict.fromkeys(m.undefined for m in metrics if m.undefined is not None)
    return [f"  undefined (-): {shown(reason)}" for reason in reasons]


def markdown_cell(text: str) -> str:
    """A text of the user's as a cell of a Markdown table: on one line, and no mark-up."""
    return re.sub(r"([\\`*<\[\]|])", r"\\\1", " ".join(text.split()))
