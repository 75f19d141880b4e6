"""The exceptions a user of this package meets.

Every message says what was wrong, where, what was expected and what to do next.
The command line prints the message alone and exits with status 2.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
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


def flat(text: str) -> str:
    """A text in which blanks stand for control characters and line breaks."""
    return "".join(c if c.isprintable() else " " for c in text)


def some(items: Sequence[str], limit: int, between: str = ", ") -> str:
    """The first items of a list as one text, with how many more there are."""
    first, others = between.join(items[:limit]), len(items) - limit
    return f"{first}{between}and {others:,} more" if others > 0 else first


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 rating``, ``1,200 ratings``; ``many`` is the irregular plural."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


_CACHED = re.compile(
    r".*[/\\]datasets--(?P<owner>[\w.-]+?)--(?P<name>[\w.-]+)[/\\]snapshots[/\\]"
    r"(?P<commit>[0-9a-f]{40})[/\\](?P<path>.+)",
    re.ASCII | re.DOTALL,
)


def printable(path: str | Path) -> str:
    """A path as valid text, also when its bytes are not UTF-8.

    A data set's file in the cache of the hub's client is named by what it is there, with its
    commit: ``hf://datasets/OWNER/NAME@COMMIT/PATH``.
    """
    text = os.fsencode(path).decode("utf-8", "replace")
    found = _CACHED.fullmatch(text)
    if found is None:
        return text
    inside = found["path"].replace("\\", "/") if os.sep == "\\" else found["path"]
    return f"hf://datasets/{found['owner']}/{found['name']}@{found['commit']}/{inside}"


class SelfJError(Exception):
    """Base of all errors this package raises on purpose.

    Its text is one line that is safe on a terminal, whatever it quotes.
    """

    def __str__(self) -> str:
        return shown(super().__str__())


class DataError(SelfJError):
    """Input that cannot be read as records.

    Args:
        message: What was wrong, what was expected and what to do.
        path: The file, if the data came from one.
        place: Where in the file, such as ``line 3`` (text files) or ``row 3`` (JSON, Parquet).
        field: Name of the offending field.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | Path | None = None,
        place: str | None = None,
        field: str | None = None,
    ) -> None:
        self.message = message
        self.path = None if path is None else printable(path)
        self.place = place
        self.field = field
        named = None if field is None else f"field {field!r}"
        where = ", ".join(part for part in (self.path, place, named) if part)
        super().__init__(f"{where}: {message}" if where else message)


class JudgeError(SelfJError):
    """A judge that cannot be loaded or cannot be used for scoring."""


class StoreError(SelfJError):
    """Judgments or results that cannot be read from or written to disk."""


@contextmanager
def loading(what: str, advice: str) -> Iterator[None]:
    """Whatever a library raises over a damaged or foreign file says what could not be loaded.

    Args:
        what: Such as "the tokenizer of ./model".
        advice: What to do, as a sentence.

    Raises:
        JudgeError: In place of the library's error; one of ours is passed on.
    """
    try:
        yield
    except SelfJError:
        raise
    except Exception as error:
        reason = brief(error).rstrip(".")
        raise JudgeError(f"{what} cannot be loaded: {reason}. {advice}") from error


_LIMIT = 400
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HEADING = re.compile(r".*:|\d{3} (Client|Server) Error.*")
_PYDANTIC = re.compile(r"\d+ validation errors? for ")
_STACK = re.compile(r'Traceback \(most recent call last\):|File ".*", line \d+')


def brief(error: BaseException) -> str:
    """The part of a library's message that says why, on one line.

    That is the first line where it stands for itself: what follows is mostly advice. A heading
    ("Error(s) in loading ...:") goes on with the lines below it, of a stack trace as text the
    last line counts, and a cause that the message does not quote is added in brackets.

    Returns:
        At most some 400 characters, without control characters; never empty.
    """
    text = _reason(error)
    if error.__cause__ is not None:
        cause = brief(error.__cause__)
        if cause.rstrip(".") not in text and not isinstance(error.__cause__, LookupError):
            text = f"{text} ({cause.rstrip('.')})" if text else cause
    text = text or type(error).__name__
    return text if len(text) <= _LIMIT else text[:_LIMIT].rstrip() + "..."


def _reason(error: BaseException) -> str:
    """What one error says by itself; empty if nothing."""
    mark = getattr(error, "problem_mark", None)  # YAML: where it began, and only then what it is
    if mark is not None and getattr(error, "problem", None):
        return f"{error.problem}, line {mark.line + 1}, column {mark.column + 1}"  # type: ignore[attr-defined]
    raw = [line for line in _plain(str(error)) if line.strip()]
    lines = [line.strip() for line in raw]
    if not lines:
        return ""
    if isinstance(error, KeyError):  # its message is the key alone
        return f"{type(error).__name__}: {lines[0]}"
    if any(_STACK.match(line) for line in lines):
        return lines[-1]
    if _PYDANTIC.match(lines[0]):
        return _invalid_fields(raw[1:])
    text = lines[0]
    if _HEADING.fullmatch(text):
        for line in lines[1:]:
            if text != lines[0] and len(text) + len(line) >= _LIMIT:
                return f"{text} ..."
            text = f"{text} {line}"
    return text.rstrip(":")


def _invalid_fields(lines: list[str]) -> str:
    """Of pydantic's list, each field with what is wrong: fields at the margin, faults indented."""
    found, field = [], ""
    for line in lines:
        text = re.sub(r" \[type=.*\]$", "", line.strip()).removeprefix("Value error, ")
        if not line.startswith(" "):
            field = f"{text}: "
        elif not text.startswith("For further information"):
            found.append(field + text)
    return "; ".join(found)


def _plain(text: str) -> list[str]:
    """Lines without colours and control characters."""
    return [flat(line) for line in _TERMINAL.sub("", text).splitlines()]


def _code(character: str) -> str:
    return ascii(character)[1:-1]
