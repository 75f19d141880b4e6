"""Texts that a model can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfj_eval.jobs.arguments import is_missing

if TYPE_CHECKING:
    from selfj_eval.records.record import Record

MAX_CHARACTERS = 1_000_000
"""Longest text a record may hold. The longest answer in public judge data has 113,077
characters; far beyond that a file is damaged, and no judge reads it anyway."""


def is_unicode(text: str) -> bool:
    """Whether a text is valid: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def answers_in(record: Record) -> list[tuple[str, str]]:
    """What a model wrote in a record, each with its field: the response and its earlier turns."""
    turns = [turn.text for turn in record.messages or () if turn.role == "assistant"]
    return [("response", record.response), *(("messages", text) for text in turns)]


def reason_not_text(record: Record, *, field: str = "response") -> str | None:
    """Why there is nothing in a record that a model could read, or None.

    Args:
        record: The record.
        field: What the response is called where it comes from, such as ``response_a``.
    """
    where = f"{record.where}, " if record.where else ""
    if record.error is not None:
        return where + record.error
    for name in ("response", "reference", "instruction"):
        text = record.question if name == "instruction" else getattr(record, name)
        name = field if name == "response" else name
        if text is None and name == "reference":
            continue
        if not isinstance(text, str):  # as Python lets anybody make a record
            kind = "null" if is_missing(text) else f"{type(text).__name__} ({shortened(text)})"
            return f"{where}field {name!r}: expected text, got {kind}."
        if len(text) > MAX_CHARACTERS:
            return (
                f"{where}field {name!r}: {len(text):,} characters, more than the "
                f"{MAX_CHARACTERS:,} that are judged; shorten it if it is what you mean to judge."
            )
        if not is_unicode(text):
            return f"{where}field {name!r}: holds half of a surrogate pair, which is not text."
    return None


def shortened(value: object, limit: int = 40) -> str:
    """A value as it may stand in a message."""
    try:
        text = repr(value)
    except RecursionError:
        return "nested deeply"
    return text if len(text) <= limit else text[: limit - 3] + "..."
