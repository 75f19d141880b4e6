"""Documents on robustness as one table: a row a change and rater."""

from __future__ import annotations

import re
from collections.abc import Mapping

from selfj_eval.benchmarking.robustness.result import Robustness
from selfj_eval.errors import shown
from selfj_eval.metrics import Metric

Documents = Mapping[str, Robustness]
"""Results of ``robustness`` by the rater's name, as a reader should see it."""

_HEAD = (
    *("change", "must not", "rater", "n", "refused", "unscored"),
    *("wrong way", "moved", "mean change", "worst"),
)
_TEXTS = 3  # columns at the left that hold words; the last one does, too


def markdown(documents: Documents) -> str:
    """The table as Markdown, and below it what the numbers are measured in and the warnings."""
    lines = [list(_HEAD), ["---"] * _TEXTS + ["---:"] * (len(_HEAD) - _TEXTS - 1) + ["---"]]
    lines += [[escaped(cell) for cell in row] for row in _rows(documents)]
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return rows + "".join(f"\n{escaped(note)}\n" for note in _notes(documents))


def escaped(text: str) -> str:
    """A text from the data as Markdown that shows it, on one line."""
    return re.sub(r"([\\`*_<\[\]|])", r"\\\1", " ".join(text.split()))


def text(documents: Documents) -> str:
    """The table as plain text in columns, with the same notes."""
    rows = [list(_HEAD), *_rows(documents)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, range(len(row)), strict=True)
        words = (*range(_TEXTS), len(row) - 1)
        lines.append("  ".join(c.ljust(w) if k in words else c.rjust(w) for c, w, k in cells))
    return "\n".join(line.rstrip() for line in [*lines, *_notes(documents)])


def _rows(documents: Documents) -> list[list[str]]:
    names = dict.fromkeys(name for d in documents.values() for name in d.changes)
    return [
        [
            name,
            numbers.expectation.removeprefix("must not "),
            _line(rater),
            *(f"{count:,}" for count in (numbers.n, numbers.refused, numbers.unscored)),
            _shown(numbers.wrong_way, 100, 0, " %"),
            _shown(numbers.moved, 1, 2),
            _shown(numbers.mean_change, 1, 2),
            _line(numbers.worst.id)[:40] if numbers.worst else "-",
        ]
        for name in names
        for rater, document in documents.items()
        if (numbers := document.changes.get(name)) is not None
    ]


def _shown(metric: Metric, factor: float, digits: int, unit: str = "") -> str:
    if metric.value is None:
        return "-"
    ends = [metric.value, *(end for end in (metric.low, metric.high) if end is not None)]
    value, *bounds = (f"{round(factor * x, digits) + 0.0:.{digits}f}" for x in ends)
    return f"{value}{unit}" + (f" ({bounds[0]} to {bounds[1]})" if bounds else "")


def _notes(documents: Documents) -> list[str]:
    notes = []
    for rater, document in documents.items():
        settings = document.settings
        notes.append(
            f"{_line(rater)}: moves are in {settings.unit}; a wrong move is more than "
            f"{settings.tolerance:g}; {100 * settings.confidence:g} % intervals over "
            f"{settings.resampled}."
        )
        reasons = [
            f"{name}: {reason}"
            for name, numbers in document.changes.items()
            if (reason := numbers.wrong_way.undefined) is not None
        ]
        more = [*document.warnings, *reasons]
        notes += [f"{_line(rater)}: {_line(reason).rstrip('.')}." for reason in more]
    return notes


def _line(words: str) -> str:
    """A text from the data on one line, without control characters."""
    return shown(" ".join(words.split()))
