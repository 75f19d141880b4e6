"""Parts of texts that a page shows, with what cannot be seen made visible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from selfj_eval.reports.texts import label, visible
from selfj_eval.workbench.search_terms import Terms

LONGEST = 100_000
"""Characters of a text that are shown."""
_BEFORE = 40  # characters before what was searched for


def shown_text(text: str | None) -> dict[str, Any] | None:
    """A text to be read as a whole, and how many characters at its end are not shown."""
    if text is None:
        return None
    beginning, cut = visible(text, LONGEST)
    return {"text": beginning, "cut": cut}


def excerpt(text: str | None, terms: Terms, width: int) -> str | None:
    """One line of a text: its beginning, or around the first thing that was searched for.

    Args:
        text: The text.
        terms: What was searched for.
        width: Most characters.
    """
    if text is None:
        return None
    start = max(0, min(_places(text, terms), default=0) - _BEFORE)
    if start and (space := text.find(" ", start, start + _BEFORE)) >= 0:
        start = space + 1
    line = label(text[start : start + 4 * width], width)
    return f"…{line}" if start else line


def _places(text: str, terms: Terms) -> Iterator[int]:
    lower = text.lower()
    if len(lower) != len(text):  # a letter whose small form is longer would move the places
        lower = text
    for term in (*terms.words, *terms.others):
        if (place := lower.find(term.lower())) >= 0:
            yield place
