"""The steps that drop what is no instruction of use, in order, each with a name and a reason.

A step looks at a text and says whether it is dropped; no step changes a text. The order is from
cheap to dear, so that the few microseconds a text costs are mostly those of texts that are kept.
What each step drops and why: docs/collection-filters.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from selfj_eval.collection.language import other_language
from selfj_eval.collection.options import FilterOptions
from selfj_eval.collection.quality import (
    boilerplate,
    broken_encoding,
    links_above,
    no_instruction,
    repeated,
    symbols_above,
)


class Step(NamedTuple):
    """One filter.

    Attributes:
        name: As it stands in the summary of a run.
        drops: What it drops, in one sentence.
        dropped: Whether it drops a text.
    """

    name: str
    drops: str
    dropped: Callable[[str], bool]


def steps(settings: FilterOptions | None = None) -> tuple[Step, ...]:
    """The steps, in the order in which they are applied.

    They hold a language model of 100 MB, which is loaded here. Build them in the process that
    uses them instead of sending them to it.

    Args:
        settings: The limits, by default those of ``FilterOptions``.

    Raises:
        DataError: If the language is unknown, or ``py3langid`` is not installed.
    """
    s = settings or FilterOptions()
    return (
        Step(
            "too_short",
            f"Texts of fewer than {s.min_characters} characters or {s.min_tokens} tokens.",
            _too_short(s.min_characters, s.min_tokens),
        ),
        Step(
            "too_long",
            f"Texts of more than {s.max_characters} characters or {s.max_tokens} tokens.",
            _too_long(s.max_characters, s.max_tokens),
        ),
        Step(
            "broken_encoding",
            "Texts with replacement or control characters, lone surrogates, or UTF-8 read as "
            "something else.",
            broken_encoding,
        ),
        Step(
            "boilerplate",
            "Texts that a web page shows instead of content: deleted posts, cookie notices, log-in "
            "walls, filler.",
            boilerplate,
        ),
        Step(
            "mostly_links",
            f"Texts whose web addresses make more than {s.max_links:.0%} of their visible "
            "characters.",
            links_above(s.max_links),
        ),
        Step(
            "mostly_symbols",
            f"Texts with fewer than {s.min_letters:.0%} letters among their visible characters.",
            symbols_above(s.min_letters),
        ),
        Step(
            "no_instruction",
            "Texts without a content word: greetings, thanks, calls for help, dates.",
            no_instruction,
        ),
        Step("repeated", "One word, phrase or line over and over.", repeated),
        Step(
            "language",
            f"Texts in another language than the wanted one ({s.language}).",
            other_language(s.language),
        ),
    )


def dropped_by(text: str, steps: Sequence[Step]) -> str | None:
    """Name of the first step that drops a text, or None if it is kept.

    Args:
        text: An instruction.
        steps: As ``steps`` gives them.
    """
    for name, _, dropped in steps:
        if dropped(text):
            return name
    return None


def _too_short(characters: int, tokens: int) -> Callable[[str], bool]:
    enough = _at_least(tokens)
    return lambda text: len(text) < characters or not enough(text)


def _too_long(characters: int, tokens: int) -> Callable[[str], bool]:
    more = _at_least(tokens + 1)
    # No text has more tokens than characters.
    return lambda text: len(text) > characters or (len(text) > tokens and more(text))


def _at_least(tokens: int) -> Callable[[str], bool]:
    """Whether a text has so many tokens; reads no further than the last of them."""
    # Possessive: given back, a word would be cut into several tokens.
    beginning = re.compile(rf"(?:\s*+(?:\w++|[^\w\s])){{{tokens}}}+").match
    return lambda text: beginning(text) is not None
