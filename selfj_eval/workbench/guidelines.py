"""Guidelines for people who rate: Markdown that becomes harmless HTML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selfj_eval.errors import DataError, printable

if TYPE_CHECKING:
    from markupsafe import Markup

LARGEST = 1_000_000
"""Bytes of a file of guidelines."""


def read_guidelines(path: str | Path) -> Markup:
    """The guidelines as HTML: no HTML of their own, no script, nothing from elsewhere.

    Args:
        path: A Markdown file (CommonMark with tables).

    Raises:
        DataError: If it cannot be read, or is empty, too large, or no text in UTF-8.
    """
    try:
        content = Path(path).read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot be read: {reason}.", path=path) from error
    except UnicodeDecodeError as error:
        raise DataError("is no text in UTF-8; save it as UTF-8.", path=path) from error
    if not text.strip() or len(content) > LARGEST:
        what = "is empty" if not text.strip() else f"has more than {LARGEST:,} bytes"
        raise DataError(f"{what}; give the guidelines as Markdown.", path=printable(path))
    return as_html(text)


def as_html(text: str) -> Markup:
    """Markdown as HTML that may stand in a page."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    # Pictures would be loaded from elsewhere; the page's policy forbids styles in the text.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(text)
    for token in tokens:
        token.attrs.pop("style", None)
    return Markup(parser.renderer.render(tokens, parser.options, {}))
