"""Texts from the data, made harmless to read: they may hold anything."""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t"


def visible(text: str, limit: int) -> tuple[str, int]:
    """The beginning of a text, with what cannot be seen made visible.

    Control characters become their pictures (U+2400 and on) or code points; marks that turn the
    direction of writing around become code points, so that they cannot reach beyond the text.

    Args:
        text: Anything.
        limit: Most characters to show.

    Returns:
        The text, and how many characters were left out at its end.
    """
    shown = "".join(_symbol(c) for c in text[:limit])
    return shown, max(0, len(text) - limit)


def label(text: str, limit: int = 28) -> str:
    """A name for the axis of a figure or a cell: one line, not too long."""
    shown, _ = visible(" ".join(text.split()), limit + 1)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _symbol(character: str) -> str:
    if character in _KEPT:
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return f"\u27e8U+{code:04X}\u27e9"
    return character
