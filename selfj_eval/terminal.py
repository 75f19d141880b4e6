"""Text on a terminal: whatever it says, it does nothing there."""

from __future__ import annotations

from typing import TextIO
from unicodedata import category


def shown(text: object) -> str:
    """A text from data, a file's name or a library, as one line that does nothing to a terminal.

    Control characters, line breaks and marks that turn the direction of writing are escaped as
    Python writes them; what is escaped already stays as it is.
    """
    own = str(text)
    if own.isprintable():
        return own
    # Spaces of any width are harmless, and common in Chinese and French.
    return "".join(c if c.isprintable() or category(c) == "Zs" else _code(c) for c in own)


def say(text: object = "", *, file: TextIO | None = None, end: str = "\n") -> None:
    """Print a text as ``shown``, but with its line breaks; everything printed goes through here.

    Args:
        text: The text, of one line or more.
        file: Where to, by default stdout.
        end: What follows.
    """
    print("\n".join(map(shown, str(text).split("\n"))), file=file, end=end, flush=True)


def _code(character: str) -> str:
    return ascii(character)[1:-1]
