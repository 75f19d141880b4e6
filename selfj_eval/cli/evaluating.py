"""What the subcommands share that evaluate scores: options and how numbers are shown."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.numbers import whole
from selfj_eval.errors import DataError
from selfj_eval.terminal import say, shown

if TYPE_CHECKING:
    from selfj_eval.evaluation import Settings

_RESAMPLES = (20, 1_000_000)
_LEAST = 1e-9


def title(name: str) -> str:
    """What a headline metric is called, and which way is better where that is not up."""
    from selfj_eval.metrics import LABELS, LOWER_IS_BETTER

    return LABELS[name] + (" (lower is better)" if name in LOWER_IS_BETTER else "")


def add_options(parser: argparse.ArgumentParser, *, bootstrap: bool = True) -> None:
    """Add the options that change the numbers."""
    parser.add_argument(
        "--ratings",
        metavar="FILE",
        help="ratings by id, where the scores file has none or others; texts are taken from it too",
    )
    parser.add_argument(
        "--good-at",
        type=float,
        metavar="T",
        help="an answer is good when its rating, put on 0..9, is at least this (default: 6, that "
        "is 7 of 1..10 or 4 of 1..5); where the rating's scale is unknown, the rating as it is",
    )
    parser.add_argument("--confidence", type=float, metavar="C", help="level (default: 0.95)")
    if bootstrap:
        parser.add_argument(
            "--resamples", type=whole, metavar="N", help="of the bootstrap (default: 1000)"
        )
        parser.add_argument("--seed", type=whole, help="of the bootstrap (default: 0)")


def settings_from(options: argparse.Namespace) -> Settings:
    """The settings, checked.

    Raises:
        DataError: Naming the option that is out of range.
    """
    from selfj_eval.evaluation import Settings

    names = ("good_at", "confidence", "resamples", "seed")
    found = {name: getattr(options, name, None) for name in names}
    given = {name: value for name, value in found.items() if value is not None}
    settings = Settings(**given)
    check_range("--confidence", settings.confidence)
    if not math.isfinite(settings.good_at):
        raise DataError(f"--good-at must be a finite number, got {settings.good_at}.")
    low, high = _RESAMPLES
    if not low <= settings.resamples <= high:
        message = f"--resamples must lie between {low} and {high:,}, got {settings.resamples:,}."
        raise DataError(message)
    if settings.seed < 0:
        raise DataError(f"--seed must be at least 0, got {settings.seed}.")
    return settings


def check_range(name: str, value: float) -> None:
    """Refuse an option that must lie between 0 and 1, both excluded."""
    if not _LEAST <= value <= 1 - _LEAST:  # beyond, what is computed of it has no digits left
        raise DataError(f"{name} must lie between 0 and 1, got {value:g}.")


def number(metric: Mapping[str, Any], digits: int = 3) -> str:
    """A metric's value as text; a dash where it is undefined."""
    return "-" if metric["value"] is None else f"{metric['value']:.{digits}f}"


def interval(metric: Mapping[str, Any]) -> str:
    """A metric's interval as text, empty where it has none."""
    if "low" not in metric:
        return ""
    return f"{metric['low']:.3f} to {metric['high']:.3f}"


def print_notices(path: object, sentences: Iterable[str]) -> None:
    """Say on stderr what was recognised, converted or ignored in a file."""
    for sentence in sentences:
        say(f"note: {shown(path)}: {shown(sentence)}", file=sys.stderr)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns: the first to the left, the others to the right."""
    rows = [[shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)
