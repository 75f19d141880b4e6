"""Text of a judge's prompt inside an answer, however it is spelled.

An answer that closes its own section and goes on with the prompt's words can dictate its score. A
model reads ``###  response:``, ``[ANSWER]:`` in bold, or a word with a Cyrillic letter in it as it
reads the exact mark. So texts are compared in a normal form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

# Letters and signs that look like others (Unicode TR 39, "confusables"), as far as marks need them.
_LOOK_ALIKES = {
    "a": "\u0430\u03b1\u0251\u1d00", "b": "\u044c\u0299", "c": "\u0441\u03f2\u1d04",
    "d": "\u0501\u0257\u1d05", "e": "\u0435\u0454\u03b5\u04bd\u1d07", "f": "\ua799\u03dd\ua730",
    "g": "\u0261\u0262", "h": "\u04bb\u0570\u029c", "i": "\u0456\u03b9\u0269\u0131\u026a",
    "j": "\u0458\u03f3\u1d0a", "k": "\u043a\u03ba\u1d0b", "l": "\u04cf\u029f",
    "m": "\u043c\u1d0d", "n": "\u0578\u043f\u03b7\u057c\u0274",
    "o": "\u043e\u03bf\u0585\u03c30\u1d0f", "p": "\u0440\u03c1\u1d18", "q": "\u051b\u0563",
    "r": "\u0433\u1d26\u027e\u0280", "s": "\u0455\ua731", "t": "\u0442\u03c4\u1d1b",
    "u": "\u03c5\u057d\u0446\u1d1c\u028b", "v": "\u0475\u03bd\u1d20",
    "w": "\u051d\u0461\u0561\u03c9\u1d21\u026f", "x": "\u0445\u03c7",
    "y": "\u0443\u04af\u03b3\u028f", "z": "\u1d22", "#": "\u266f\u22d5",
    ":": "\ua789\u2236\u02d0\u02d1\u0589\u05c3\u0703\u16ec\u205a\ufe13",
    "[": "\u3010\u3014\u3016\u27e6\u2772\u27e8\u2045\u300c\u300e",
    "]": "\u3011\u3015\u3017\u27e7\u2773\u27e9\u2046\u300d\u300f",
}  # fmt: skip
_LETTER = {look: letter for letter, looks in _LOOK_ALIKES.items() for look in looks}
# Accents, and what takes no room: zero-width characters, soft hyphens, control characters.
_UNSEEN_KINDS = ("Mn", "Me", "Cf", "Cc")
_UNSEEN = "\u115f\u1160\u2800\u3164\uffa0"  # letters, by category, that show nothing
_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_ENCLOSED = (0x1F130, 0x1F150, 0x1F170, 0x1F1E6)  # where alphabets in squares, circles, flags begin
_DECORATION = "\\*_`~|\"'>"  # of Markdown, and quotes


class _NormalForm(dict[int, str]):
    """What each character becomes, by code point; found out when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = self._normal(code)
        return self[code]

    def _normal(self, code: int) -> str:
        char = chr(code)
        if char in _LINE_ENDS:
            return "\n"
        if char == "\t" or unicodedata.category(char) == "Zs":
            return " "
        for start in _ENCLOSED:
            if start <= code < start + 26:
                return chr(ord("a") + code - start)
        parts = unicodedata.normalize("NFKD", char)
        seen = [c for c in parts if unicodedata.category(c) not in _UNSEEN_KINDS]
        folded = "".join(c for c in seen if c not in _UNSEEN).casefold()
        return "".join(_LETTER.get(c, c) for c in folded if c not in _DECORATION)


_NORMAL = _NormalForm()
_BEFORE = r"(?:\A|\n)[-+# ]{0,9}"  # at the beginning of a line, after a bullet or a heading's sign
_AFTER = r"[-+# ]{0,9}(?=\n|\Z)"
_SECTION = re.compile(r"\[[^\[\]/<>]+\]:?")
_TAG = re.compile(  # <answer>, </answer>, <<SYS>>, [INST], [/INST]
    r"<{1,2}/?[^<>/\s\0][^<>\0]*>{1,2}|\[/[^\[\]\0]+\]|\[[A-Z_]{3,}\]"
)
_WORDS = 5  # of a sentence that no answer has by chance


class Mark(NamedTuple):
    """A piece of a prompt that an answer must not hold.

    Attributes:
        text: As the prompt has it.
        pattern: What it matches in the normal form.
    """

    text: str
    pattern: re.Pattern[str]


class Found(NamedTuple):
    """A mark in a text.

    Attributes:
        mark: As the prompt has it.
        spelling: As the text has it.
    """

    mark: str
    spelling: str

    def __str__(self) -> str:
        if self.spelling == self.mark:
            return f"the prompt's own text {self.mark!r}"
        return f"{self.spelling!r}, a spelling of the prompt's own text {self.mark!r}"


def heading(text: str) -> Mark:
    """A heading such as ``### Response:``, of any depth; at a line's end also without its colon."""
    words = _words(text.strip("# :"))
    return Mark(text, re.compile(rf"(?<!#)#++[ \n]?{words}(?:[ \n]?:| ?(?=\n|\Z))"))


def section(text: str) -> Mark:
    """The name of a section in brackets, such as ``[Answer]``, at the beginning of a line."""
    words = _words(text.strip("[] "))
    return Mark(text, re.compile(rf"{_BEFORE}\[[ \n]?{words}[ \n]?:?[ \n]?\]"))


def sentence(text: str) -> Mark:
    """A sentence, with or without its full stop, across lines."""
    return Mark(text, re.compile(rf"{_words(text.rstrip('. '))}\.?"))


def line(text: str) -> Mark:
    """A whole line."""
    return Mark(text, re.compile(rf"{_BEFORE}{_words(text.strip('-+# '))}{_AFTER}"))


def opening(text: str) -> Mark:
    """How a line begins, such as ``Answer:``."""
    return Mark(text, re.compile(rf"{_BEFORE}{_words(text.rstrip(': '))}[ \n]?:"))


def delimiter(text: str) -> Mark:
    """What ends with a colon within a line, such as `` ASSISTANT:``, anywhere."""
    return Mark(text, re.compile(rf"(?<!\w){_words(text.rstrip(': '))}[ \n]?:"))


def tag(text: str) -> Mark:
    """A tag such as ``</answer>`` or ``[/INST]``, anywhere."""
    inner = text.strip("<>[]/ ")
    closing = r"/[ \n]?" if "/" in text[:3] else ""
    begin, end = (r"\[", r"[ \n]?\]") if text[0] == "[" else ("<", r"(?![a-z0-9])")
    return Mark(text, re.compile(rf"{begin}[ \n]?{closing}{_words(inner)}{end}"))


def marks_of(text: str, placeholder: re.Pattern[str]) -> dict[str, Mark]:
    """The pieces of a template's text that an answer must not hold, by their text.

    Tags, wherever they stand. Of a line without a placeholder: a heading, a name in brackets; else
    its first sentence where it has five words or more; else how it begins, where it ends with a
    colon, or the whole line. Of a line with placeholders: what stands before the first one, where
    it is a heading, a name in brackets, or ends with a colon; and what stands behind one, if it
    ends with a colon or has three words or more.

    Args:
        text: The template's text.
        placeholder: Matches what is filled in.
    """
    found = dict[str, Mark]()
    for own in text.splitlines():
        parted = placeholder.sub("\0", own)
        first, *rest = (part.strip() for part in parted.split("\0"))
        marks = [_own_mark(first, whole=not rest), *map(_behind, rest)]
        marks += map(tag, _TAG.findall(parted))
        found |= {mark.text: mark for mark in marks if mark is not None}
    return found


def _own_mark(text: str, *, whole: bool) -> Mark | None:
    """The mark of a line, or of its part before a placeholder; None also where it is a tag."""
    if not any(map(str.isalpha, text)) or _TAG.fullmatch(text):
        return None
    if text.startswith("#"):
        return heading(text)
    if _SECTION.fullmatch(text):
        return section(text.rstrip(":"))
    first = re.split(r"(?<=[.!?:])\s", text)[0]
    if whole and len(first.split()) >= _WORDS:
        return sentence(first)
    if text.endswith(":"):
        return opening(text)
    return line(text) if whole else None


def _behind(text: str) -> Mark | None:
    """The mark of a line's part behind a placeholder."""
    words = _TAG.sub("", text).split()
    if not any(map(str.isalpha, "".join(words))):
        return None
    if text.endswith(":"):
        return delimiter(text)
    return sentence(text) if len(words) > 2 else None


def find(marks: Iterable[Mark], text: str) -> Found | None:
    """The first of the marks that a text holds, however it is spelled; None if there is none."""
    normal = _normal(text)
    for mark in marks:
        if found := mark.pattern.search(normal):
            return Found(mark.text, _spelling(text, *found.span()))
    return None


def _normal(text: str) -> str:
    """The normal form: a run of white space is a line end if it holds one, else a blank."""
    spaced = re.sub(" +", " ", text.translate(_NORMAL))
    return re.sub(r" ?\n[ \n]*", "\n", spaced)


def _spelling(text: str, start: int, end: int) -> str:
    """The characters whose normal form lies between two places of the text's normal form."""
    ends = len(text)
    low, high = 0, ends  # the normal form grows with the text: halve until it reaches the places
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_normal(text[:middle])) >= end else (middle + 1, high)
    ends = low
    low, high = 0, ends
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_normal(text[:middle])) <= start else (low, middle - 1)
    return text[low:ends].strip()


def _words(text: str) -> str:
    """A pattern of the words of a text, whatever white space stands between them."""
    return r"[ \n]".join(re.escape(word) for word in _normal(text).split())
