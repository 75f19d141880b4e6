"""What a user searches for: words and quoted phrases."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

MOST_CHARACTERS = 200
"""Of a search; what follows is not looked at."""
_TERM = re.compile(r'"([^"]*)"?|([^\s"]+)')
_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR")


class Terms(NamedTuple):
    """What an answer must contain, all of it.

    Attributes:
        words: Words and phrases of letters and digits: an index of words can find them. An answer
            contains a word if one of its own begins with it.
        others: Texts with other characters, or in a script without spaces between words: they may
            stand anywhere.
    """

    words: tuple[str, ...]
    others: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.words or self.others)


def terms_in(text: str) -> Terms:
    """The terms of a search: words, and phrases in double quotes."""
    words, others = list[str](), list[str]()
    for phrase, word in _TERM.findall(text[:MOST_CHARACTERS].replace("\0", " ")):
        if term := " ".join((phrase or word).split()):
            (words if _is_words(term) else others).append(term)
    return Terms(tuple(words), tuple(others))


def _is_words(term: str) -> bool:
    return all(c == " " or _is_of_word(c) for c in term)


def _is_of_word(character: str) -> bool:
    if character.isascii():
        return character.isalnum()
    if unicodedata.category(character)[0] not in "LN":
        return False
    return not unicodedata.name(character, "").startswith(_WITHOUT_SPACES)
