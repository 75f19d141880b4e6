"""A rating in a judge's reply: read strictly, or not at all.

What a judge writes is no number until it says one, once, where it was asked for it. Nothing here
has a default: a reply without a clear rating has a reason in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from selfj_eval.errors import flat
from selfj_eval.storage.store import Answer

_SHOWN = 80  # characters of a reply's end that a reason quotes

_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_BARE = re.compile(
    r"(?:(?:rating|score)\s*(?:[:=]|\bis\b)?\s*)?([+-]?[0-9]+(?:\.[0-9]+)?)\s*\.?", re.I
)
_DOUBLE_BRACKETS = r"\[\[([^\[\]]*)\]\](?!\])"
_RATED = re.compile(r"\bRating\s*:[\s*]*" + _DOUBLE_BRACKETS, re.I)
# Not x[[1]], which is code, and not the inside of [[[1]]].
_BRACKETED = re.compile(r"(?<![\w\[)\]])" + _DOUBLE_BRACKETS)
_RESULT = re.compile(r"\[RESULT\]\s*:?\s*([^\n]*)")


class Reading(NamedTuple):
    """What a reply says.

    Attributes:
        rating: On the scale of its syntax, or None.
        reason: Why there is none: one line.
    """

    rating: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a rating is written.

    Attributes:
        name: What users call it.
        low, high: Ends of the scale.
        whole: Whether only whole numbers are ratings.
        example: A rating as it has to be, for messages.
        tokens: Longest reply that is asked for, where nothing else is said.
        marker: What a rating is told by, if it is more than the number.
        open: Whether nothing ends the number, so that the rest of it may be cut off.
        find: The texts that stand where a rating belongs.
    """

    name: str
    low: int
    high: int
    whole: bool
    example: str
    tokens: int
    marker: str | None
    open: bool
    find: Callable[[str], list[str]]

    def read(self, reply: Answer) -> Reading:
        """The rating in a reply.

        A reply may say its rating twice, and may go on behind it. It has none if two ratings
        differ, one is off the scale or part of something else (``5/10``), or if the reply was cut
        at its limit before the rating, or in it.
        """
        text = reply.text.strip()
        cut = "" if reply.finish == "stop" else f"it was ended by the engine ({reply.finish})"
        if reply.finish == "length":
            cut = "it was cut at its limit; raise max_new_tokens"
        if not text:
            return Reading(None, f"the judge's reply is empty{cut and f': {cut}'}.")
        found = self.find(text)
        if cut and (not found or (self.open and text.rstrip(". ").endswith(found[-1]))):
            return Reading(None, f"no whole rating is in the judge's reply: {cut}. {_end(text)}")
        if not found:
            return Reading(
                None, f"no rating such as {self.example} is in the judge's reply. {_end(text)}"
            )
        ratings = set()
        for shown in found:
            rating = self._rating(shown)
            if rating is None:
                return Reading(
                    None,
                    f"the judge has written {_line(shown)!r} where {self._expected} was expected. "
                    f"{_end(text)}",
                )
            ratings.add(rating)
        if len(ratings) > 1:
            shown = " and ".join(f"{rating:g}" for rating in sorted(ratings))
            return Reading(None, f"the judge's reply has different ratings: {shown}. {_end(text)}")
        return Reading(ratings.pop())

    @property
    def _expected(self) -> str:
        return f"a {'whole ' if self.whole else ''}number in {self.low}..{self.high}"

    def _rating(self, shown: str) -> float | None:
        shown = shown.strip()
        if not _NUMBER.fullmatch(shown) or (self.whole and "." in shown):
            return None
        return rating if self.low <= (rating := float(shown)) <= self.high else None


def _bare(text: str) -> list[str]:
    found = _BARE.fullmatch(text)
    return [found[1]] if found else []


def _rated(text: str) -> list[str]:
    return _RATED.findall(text)


def _bracketed(text: str) -> list[str]:
    """In double brackets: all that follows "Rating:", elsewhere what begins like a number.

    Elsewhere double brackets may also belong to a quoted list or link.
    """
    rated = {found.start(1) for found in _RATED.finditer(text)}
    return [
        found[1]
        for found in _BRACKETED.finditer(text)
        if found.start(1) in rated or ("," not in found[1] and re.match(r"\s*[+-]?\.?\d", found[1]))
    ]


def _result(text: str) -> list[str]:
    found = (line.strip() for line in _RESULT.findall(text))
    return [line.removesuffix(".") for line in found if line]


def _line(text: str) -> str:
    """A judge's text in one line of valid characters, its end."""
    valid = text.encode("utf-8", "replace").decode()
    line = " ".join(flat(valid).split())
    return line if len(line) <= _SHOWN else "..." + line[-_SHOWN:]


def _end(text: str) -> str:
    return f"It ends: {_line(text)!r}"


SYNTAXES = {
    syntax.name: syntax
    for syntax in (
        Syntax("self-j", 0, 9, True, "7", 16, None, True, _bare),
        Syntax("auto-j", 1, 10, False, "Rating: [[5]]", 1024, "[[", False, _rated),
        Syntax("prometheus", 1, 5, True, "[RESULT] 4", 1024, "[RESULT]", True, _result),
        Syntax("mt-bench", 1, 10, False, "[[7]]", 1024, "[[", False, _bracketed),
    )
}
"""By name. ``self-j``: nothing but a digit (arXiv 2409.00935, section 3). ``auto-j``: a critique,
then the rating (arXiv 2310.05470). ``prometheus``: feedback, then the result (arXiv 2310.08491).
``mt-bench``: an explanation and the rating (arXiv 2306.05685)."""
