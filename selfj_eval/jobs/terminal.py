"""What is printed: whatever a text says, it does nothing to the terminal."""

from __future__ import annotations

import re
import sys
from typing import TextIO

from selfj_eval.errors import shown

_STYLES = {
    r"^(selfj.*: )?error:": "bold red",
    r"^ *(note|warning):": "bold yellow",
    r"^[a-z][a-z, ]*:$": "bold",  # the headings of a help text
    r"(?<=\n\n)[A-Z][^\n]*\.(?=\n\n)": "bold",  # a sentence alone: what a result comes to
    r"`[^`\n]+`|(?<![\w-])--[a-z][a-z-]*": "cyan",
    r"(?<=  )-?\d[\d,]*(\.\d+)?(?![\w/-]| %)": "cyan",  # in a table
    r"(?<=  )-?\d[\d,.]* to -?\d[\d,.]*": "not bold blue",  # an interval
}
"""What has a colour on a terminal; the later wins where two meet."""


def say(text: object = "", *, file: TextIO | None = None, end: str = "\n") -> None:
    """Print a text as ``shown``, but with its line breaks; everything printed goes through here.

    On a terminal, numbers, options and words such as "note:" are coloured, unless the variable
    NO_COLOR is set or TERM is "dumb".

    Args:
        text: The text, of one line or more.
        file: Where to, by default stdout.
        end: What follows.
    """
    stream = sys.stdout if file is None else file
    safe = "\n".join(map(shown, str(text).split("\n")))
    if stream.isatty():
        _print_coloured(safe, stream, end)
    else:
        print(safe, file=stream, end=end, flush=True)


def _print_coloured(text: str, stream: TextIO, end: str) -> None:
    from rich.console import Console
    from rich.text import Text

    coloured = Text(text)
    for pattern, style in _STYLES.items():
        coloured.highlight_regex(re.compile(pattern, re.M), style)
    Console(file=stream).print(coloured, soft_wrap=True, end=end)
    stream.flush()
