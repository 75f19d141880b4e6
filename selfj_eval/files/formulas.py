"""Cells of a CSV file that a spreadsheet would run as formulas, and how they are kept from it."""

from __future__ import annotations

import re

GUARD = "'"
"""What is put before such a text."""
GUARD_COLUMN = "formula_guard"
"""The column that says, in each row, that its texts are guarded; so they are read as they were."""
_BEGINS = r"[=+\-@\t\r]"


def guarded(text: str) -> str:
    """A text as a cell that no spreadsheet runs; ``unguarded`` gives the text back."""
    return GUARD + text if re.match(GUARD + "*" + _BEGINS, text) else text


def unguarded(cell: str) -> str:
    """The text of a cell that ``guarded`` gave."""
    return cell[len(GUARD) :] if re.match(GUARD + "+" + _BEGINS, cell) else cell
