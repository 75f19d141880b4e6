"""What is printed: whatever a text says, it does nothing to the terminal."""

from __future__ import annotations

from typing import TextIO

from selfj_eval.errors import shown


def say(text: object = "", *, file: TextIO | None = None, end: str = "\n") -> None:
    """Print a text as ``shown``, but with its line breaks; everything printed goes through here.

    Args:
        text: The text, of one line or more.
        file: Where to, by default stdout.
        end: What follows.
    """
    print("\n".join(map(shown, str(text).split("\n"))), file=file, end=end, flush=True)
