"""What makes a text useless as an instruction, whatever its language.

Each function says whether a text is dropped. Cheap looks come first: most texts are kept, and a
look that settles this in a microsecond spares the exact one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# All of ASCII but letters and white space: what is deleted to count the letters.
_ASCII_SPACE = bytes(range(9, 14)) + bytes(range(28, 33))
_ASCII_OTHERS = bytes(
    byte for byte in range(128) if not chr(byte).isalpha() and byte not in _ASCII_SPACE
)
_HIGH = bytes(range(128, 256))
_NOT_LETTERS = re.compile(r"[\W\d_]+")
_LETTER_WORD = re.compile(r"[^\W\d_]+")


# --- broken_encoding ------------------------------------------------------------------------

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
# The same, with C1 controls, lone surrogates, non-characters and the replacement character.
_BROKEN = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffd-\uffff]")
# Bytes 80 to BF, which continue a character in UTF-8, as Windows-1252 shows them.
_NEXT = "[" + bytes(range(0x80, 0xC0)).decode("cp1252", "ignore") + "]"
# In order: accents and signs, typographic quotes and dashes, emoji, Cyrillic, the byte order mark.
_MOJIBAKE = re.compile(f"[ÂÃ]{_NEXT}|â{_NEXT}{_NEXT}|â€|ðŸ{_NEXT}|[ÐÑ]{_NEXT}[ÐÑ]{_NEXT}|ï»¿")
_ON_ENCODING = re.compile(r"encod|utf-?8|charset|unicode|mojibake|latin-?1|cp-?1252", re.I)


def broken_encoding(text: str) -> bool:
    """Whether characters were lost or misread on the way.

    A text that speaks of encodings may show what they do wrong.
    """
    if text.isascii():
        return _CONTROL.search(text) is not None
    if _BROKEN.search(text):
        return True
    return _MOJIBAKE.search(text) is not None and _ON_ENCODING.search(text) is None


# --- boilerplate ----------------------------------------------------------------------------

# The whole text, but for marks around it.
_PLACEHOLDER = re.compile(
    r"""\W*(?:
      (?:deleted|removed|redacted|no\ (?:title|content|description|text))
    | (?:this|the|your)?\ ?(?:post|comment|question|answer|thread|topic|message|content|page
      |video)\ (?:was|is|has\ been|is\ currently)\ (?:since\ |now\ )?
      (?:deleted|removed|closed|locked|private|unavailable|hidden|no\ longer\ available)
      (?:\ (?:by|as|for|because|due)\b[^?\n]{0,80})?
    | (?:40[134]|50[0-4])\W+(?:not\ found|forbidden|unauthori[sz]ed|internal\ server\ error
      |bad\ gateway|service\ unavailable|gateway\ time-?out)
    | (?:page\ not\ found|access\ denied)
    )\W*""",
    re.I | re.X,
)
# The beginning of a text that asks nothing.
_NOTICE = re.compile(
    r"""\W*(?:
      click\ here\ (?:to|for)\ (?:subscribe|unsubscribe|sign|register|log|continue|view|download
      |read|see|more)
    | (?:please\ )?(?:subscribe|sign\ up)\ (?:to|for)\ (?:our|my|the)\ (?:\w+\ )?(?:newsletter
      |channel|mailing\ list)
    | (?:this|our)\ (?:web\ ?)?site\ uses\ cookies
    | we\ (?:and\ our\ partners\ )?use\ (?:\w+\ )?cookies\ (?:and\ [\w ]{3,40}\ )?
      (?:to|on\ (?:this|our))\b
    | by\ (?:continuing\ to\ )?(?:us(?:e|ing)|brows(?:e|ing))\ (?:this|our)\ (?:web)?site,?\ you
    | (?:please\ |you\ (?:must|need\ to|have\ to)\ (?:be\ )?)(?:log(?:ged)?[\ -]?in|sign(?:ed)?\ in
      |register(?:ed)?)\ (?:or\ [\w ]{3,20}\ )?to\ (?:view|see|read|post|reply|continue|access
      |comment|add|leave)
    | (?:please\ )?(?:enable|turn\ on)\ (?:javascript|cookies)\ (?:to|in\ (?:your|order))
    | you\ need\ to\ enable\ javascript\ to\ run\ this\ app
    | checking\ (?:if\ the\ site\ connection\ is\ secure|your\ browser\ before\ accessing)
    | (?:copyright\ )?(?:©|\(c\))\ ?(?:copyright\ )?\d{4}\b
    | lorem\ ipsum\ dolor
    )""",
    re.I | re.X,
)


def boilerplate(text: str) -> bool:
    """Whether this is what a web page says in place of a text."""
    if _NOTICE.match(text):
        return "?" not in text
    return len(text) < 200 and _PLACEHOLDER.fullmatch(text) is not None


# --- mostly_links, mostly_symbols -----------------------------------------------------------

_LINK = re.compile(r"(?:[a-z][a-z+.-]{1,10}://|www\.)\S+", re.I)


def links_above(share: float) -> Callable[[str], bool]:
    """Drops texts with more than a share of their visible characters in web addresses."""

    def dropped(text: str) -> bool:
        if "://" not in text and "www." not in text:
            return False
        links = sum(map(len, _LINK.findall(text)))
        return links > share * len("".join(text.split()))

    return dropped


def symbols_above(letters: float) -> Callable[[str], bool]:
    """Drops texts with less than a share of letters, of any script, among visible characters."""

    def dropped(text: str) -> bool:
        raw = text.encode("utf-8", "replace")
        visible = raw.translate(None, _ASCII_SPACE)
        # As if nothing outside ASCII was a letter, and all of it many characters.
        if len(visible.translate(None, _ASCII_OTHERS + _HIGH)) >= letters * len(visible):
            return False
        if text.isascii():
            return True
        seen = "".join(text.split())
        return len(_NOT_LETTERS.sub("", seen)) < letters * len(seen)

    return dropped


# --- no_instruction -------------------------------------------------------------------------

# Nothing is asked or told with these alone. Who, what, where, when, which and why are not among
# them: "Who are you?" is a question.
_EMPTY_WORDS = """
    hi hello hey hiya greetings welcome good morning afternoon evening night day dear sir madam mr
    mrs ms dr all everyone everybody guys folks there thanks thank thx ty you u much many
    lot lots very so advance cheers regards best kind warm sincerely yours truly bye goodbye see
    later soon ok okay yes no yeah yep nope sure fine great nice cool lol haha wow oh ah um well
    please pls plz help need helping me my i im am a an the this that these those it its is are be
    was were do does did doing can could would will have has had if or and but to of in on at for
    from with as by just really how u r ur we our your they them he she his her any anyone anybody
    someone somebody ideas idea suggestions suggestion advice question questions urgent asap test
    hope today sorry wondering untitled
    monday tuesday wednesday thursday friday saturday sunday january february march april may june
    july august september october november december am pm st nd rd th
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())
_GREETING = "(?i:hi|hello|hey|dear|thanks|thank you|thx|cheers|(?:(?:best|kind|warm) )?regards)"
# A greeting and a name, or a comma and several: "Hello World Program" is a title.
_GREETED = re.compile(
    rf"\W*{_GREETING}(?:\s+[A-Z][\w'-]*|\s*[,!.:-]\s*(?:[A-Z][\w.'-]*\s*){{1,3}})\W*"
)
_LONGEST_EMPTY = 150  # characters; longer texts without a content word were not seen


def no_instruction(text: str) -> bool:
    """Whether no word in it has content, so that it neither asks nor tells anything.

    A title ("Converting a list to a string") or the key words of a search have content.
    """
    if len(text) > _LONGEST_EMPTY:
        return False
    words = _LETTER_WORD.findall(text.lower().replace("'", "").replace("’", ""))  # noqa: RUF001
    if _EMPTY.issuperset(words):
        return True
    return len(words) <= 6 and _GREETED.fullmatch(text) is not None


# --- repeated -------------------------------------------------------------------------------

_FEWEST_WORDS = 8


def repeated(text: str) -> bool:
    """Whether it is one word, phrase or line over and over.

    Words: of eight or more, at most a sixth are different. Lines: the repetitions of earlier ones
    have more than half of all characters. Only words with a letter count, so that a question
    on a table of zeros and ones is kept.
    """
    words = text.split()
    if len(words) < _FEWEST_WORDS:
        return False
    if 3 * len(set(words)) <= len(words):  # marks and capitals make more of the same word
        letters = _LETTER_WORD.findall(text.lower())
        if len(letters) >= _FEWEST_WORDS and 6 * len(set(letters)) <= len(letters):
            return True
    if text.count("\n") < 3:
        return False
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    different = set(lines)
    if 4 * len(different) > 3 * len(lines):
        return False
    total = sum(map(len, lines))
    return 2 * sum(map(len, different)) < total
