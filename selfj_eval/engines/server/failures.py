"""Errors as servers put them: status, code, message, and when to come back."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

TOO_LONG = re.compile(
    r"context.{0,9}(length|size|window)|too long|longer than|less than \d+ tokens|inputs. tokens",
    re.I,
)
SPENT = re.compile(r"per[- ](day|week|month)|\b(daily|weekly|monthly)\b|\b[RT]PD\b", re.I)
"""How servers name a limit that no short wait helps against."""
NO_MONEY = "insufficient_quota"
"""The code of a 429 that no waiting helps."""

# What an error without a status of its own says of it, in the order in which it is looked for.
# Messages are free text ("upstream host not found"), so what would end a run is looked for in codes
# and types, and in a message only by words that mean nothing else.
_CODE, _ANY = ("code", "type"), ("code", "type", "message")
_STATUSES = (
    (_ANY, re.compile(rf"{NO_MONEY}|rate.?limit|too many requests", re.I), 429),
    (_CODE, re.compile(r"invalid_api_key|authentication|unauthori[sz]ed", re.I), 401),
    (_ANY, re.compile(r"^unauthori[sz]ed|(invalid|incorrect) api.?key", re.I | re.M), 401),
    (_CODE, re.compile(r"not.?found|does.not.exist", re.I), 404),
    (_ANY, re.compile(r"unexpected endpoint", re.I), 404),
    (_ANY, TOO_LONG, 400),
    (_ANY, re.compile(r"invalid.?request|bad.?request|validation|unsupported", re.I), 400),
)
_MODERATED = re.compile(r"moderation|flagged|content.?(filter|policy)", re.I)
_UNKNOWN = 500  # passes perhaps: it is asked again


class Failure(NamedTuple):
    """Why a request has brought no reply.

    Attributes:
        kind: ``passing`` may be well later, ``refused`` concerns this request, ``hopeless``
            every request.
        reason: One line, without the key.
        wait: Seconds after which the server wants to be asked again, where it says.
    """

    kind: Literal["passing", "refused", "hopeless"]
    reason: str
    wait: float | None = None


class Told(NamedTuple):
    """What the body of an error says.

    Attributes:
        code: Its code, as text; empty where it has none.
        message: Its message, or the whole body.
        wait: Seconds after which the server wants to be asked again, where it says.
        moderated: Whether it is about what the prompt says, not about the key.
    """

    code: str
    message: str
    wait: float | None
    moderated: bool = False


def error_inside(data: bytes) -> tuple[int, bytes] | None:
    """The error that a reply with status 200 holds.

    LM Studio answers so where it does not know the address, OpenRouter where the provider behind
    it fails or a limit is reached.

    Args:
        data: The reply.

    Returns:
        The status that the error would have had, and a body with the error alone; None for a
        reply that is none.
    """
    if b'"error"' not in data:  # most replies, which need not be parsed for this
        return None
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if _usable(first):  # whatever else it warns of
        return None
    error = body.get("error") or (first.get("error") if isinstance(first, dict) else None)
    if not error and body.get("object") == "error":
        error = body
    if not isinstance(error, dict | str) or not error:
        return None
    return _status(error), json.dumps({"error": error}).encode()


def told(text: str, headers: Mapping[str, str]) -> Told:
    """What an error says, in the layouts that servers use.

    Args:
        text: Its body.
        headers: Its headers.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return Told("", text, _wait(headers))
    if isinstance(body, list) and len(body) == 1:  # Google's
        body = body[0]
    error = (body.get("error") or body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return Told("", error if isinstance(error, str) else text, _wait(headers))
    message = next((error[k] for k in ("message", "detail") if error.get(k)), text)
    code = error.get("code")
    metadata = error.get("metadata")  # OpenRouter's: the headers of the provider behind it
    behind = metadata.get("headers") if isinstance(metadata, dict) else None
    reasons = metadata.get("reasons") if isinstance(metadata, dict) else None
    wait = _wait(headers)
    if wait is None and isinstance(behind, dict):
        wait = _wait({str(name).lower(): str(value) for name, value in behind.items()})
    code = str(code) if isinstance(code, str | int) else ""
    moderated = bool(reasons) or _MODERATED.search(f"{code} {message}") is not None
    return Told(code, str(message), wait, moderated)


def _usable(choice: object) -> bool:
    """Whether a choice is an answer: it holds something, and has not itself failed."""
    if not isinstance(choice, dict) or choice.get("error"):
        return False
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else choice.get("text")
    return choice.get("finish_reason") != "error" and bool(content or choice.get("logprobs"))


def _status(error: dict[str, Any] | str) -> int:
    """The status of an error that came with status 200."""
    fields = error if isinstance(error, dict) else {"message": error}
    code = str(fields.get("code"))
    if code.isdecimal() and 400 <= int(code) < 600:
        return int(code)
    for places, named, status in _STATUSES:
        if named.search("\n".join(str(fields[k]) for k in places if fields.get(k))):
            return status
    return _UNKNOWN


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or as a date, or OpenRouter's reset."""
    if (value := headers.get("retry-after")) is not None:
        try:
            seconds = float(value)
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except ValueError:
                return None
    elif (value := headers.get("x-ratelimit-reset", "")).isdecimal() and len(value) == 13:
        seconds = int(value) / 1000 - time.time()  # others give seconds there, or durations
    else:
        return None
    return max(0.0, seconds) if seconds == seconds else None
