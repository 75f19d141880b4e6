"""Requests to an OpenAI-compatible server: retries, and what went wrong, without the key."""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import random
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from selfj_eval.backends.completions import Api, tokens_used
from selfj_eval.errors import JudgeError

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

KEY = "OPENAI_API_KEY"
URL = "OPENAI_BASE_URL"
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds before a request is sent again: the first is doubled each time, up to the longest."""
LONGEST_WAIT = 300.0
"""Seconds that a server may ask to be left alone (``Retry-After``) for the request to be kept."""

_PATHS: dict[Api, str] = {"completions": "/completions", "chat": "/chat/completions"}
_PASSING = {408, 409, 425, 429}  # and 500 and above
_HOPELESS = {401, 402, 403, 404}
_NO_MONEY = "insufficient_quota"  # a 429 that no waiting helps
_TOO_LONG = re.compile(
    r"context.{0,9}(length|size|window)|too long|longer than|less than \d+ tokens|inputs. tokens",
    re.I,
)

Reply = Mapping[str, Any]


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


class Endpoint:
    """A server and the key to it.

    Args:
        base_url: Its address, up to and with ``/v1``; by default the variable OPENAI_BASE_URL.
        timeout: Seconds for one request.
        retries: How often a request is sent again that failed for a passing reason.

    Attributes:
        base_url: The address.
        usage: ``requests`` sent, ``retries`` among them, ``prompt_tokens`` and
            ``completion_tokens`` as the server counts them.

    Raises:
        JudgeError: If the package ``openai`` is missing, or address or key cannot be used.
    """

    def __init__(self, base_url: str | None, *, timeout: float, retries: int) -> None:
        try:
            import openai  # noqa: F401
        except ImportError as error:
            raise JudgeError(
                'judging through a server needs the package openai: pip install "selfj-eval'
                '[openai]".'
            ) from error
        self.base_url = _checked_url(base_url or os.environ.get(URL))
        self._key = _checked_key(os.environ.get(KEY))
        self._timeout, self._retries = timeout, retries
        self.usage = {"requests": 0, "retries": 0, "prompt_tokens": 0, "completion_tokens": 0}

    def client(self) -> AsyncOpenAI:
        """A client; it belongs to the event loop it is first used in, and is to be closed."""
        from openai import AsyncOpenAI

        # Without a key some word has to stand in its place.
        key = self._key or "none"
        return AsyncOpenAI(api_key=key, base_url=self.base_url, timeout=None, max_retries=0)

    async def ask(
        self, client: AsyncOpenAI, api: Api, body: dict[str, Any], retries: int | None = None
    ) -> Reply | Failure:
        """The reply to a request, parsed from JSON.

        A request that fails for a passing reason is sent again, after a pause that doubles each
        time or that the server asks for.

        Args:
            client: One of ``client()``.
            api: Which interface.
            body: The request.
            retries: How often it is sent again, if not as often as was said.

        Returns:
            The reply, or why there is none.
        """
        most = self._retries if retries is None else retries
        attempt = 0
        while True:
            attempt += 1
            got = await self._attempt(client, api, body)
            if not isinstance(got, Failure):
                prompt, completion = tokens_used(got)
                self.usage["prompt_tokens"] += prompt
                self.usage["completion_tokens"] += completion
                return got
            if got.kind != "passing":
                return got
            if got.wait is not None and got.wait > LONGEST_WAIT:
                return got._replace(reason=f"{got.reason} It asks for {got.wait:.0f} s of rest.")
            if attempt > most:
                tries = "once" if attempt == 1 else f"{attempt} times"
                return got._replace(reason=f"{got.reason} It was asked {tries}.")
            await asyncio.sleep(_pause(attempt - 1, got.wait))
            self.usage["retries"] += 1

    async def _attempt(
        self, client: AsyncOpenAI, api: Api, body: dict[str, Any]
    ) -> Reply | Failure:
        import openai

        self.usage["requests"] += 1
        try:
            # The client's own timeout is one for each read, which a trickle of bytes evades.
            async with asyncio.timeout(self._timeout):
                # As text: the client's own reading would drop what it does not know.
                text = await client.post(_PATHS[api], body=body, cast_to=str)
        except openai.APIStatusError as error:
            return self._failed(error, body["model"])
        except (TimeoutError, openai.APITimeoutError):
            return Failure("passing", f"the server gave no answer within {self._timeout:g} s.")
        except openai.APIConnectionError as error:
            why = self._clean(str(error.__cause__ or "") or type(error.__cause__).__name__)
            return Failure("passing", f"no connection to the server, or it broke ({why}).")
        try:
            reply = json.loads(text)
        except (ValueError, RecursionError):
            reply = None
        if isinstance(reply, dict):
            return reply
        return Failure("passing", "the server's reply is no JSON object, or not the whole of it.")

    def _failed(self, error: APIStatusError, model: str) -> Failure:
        """What a reply with an error status means."""
        status, wait = error.status_code, _retry_after(error.response.headers)
        code, message = _message(error.response.text)
        said = f"{status}: {self._clean(message)}"
        if status == 401:
            what = "refuses the key in" if self._key else "wants a key, and there is none in"
            # Its message may hold a part of the key.
            return Failure("hopeless", f"the server {what} {KEY} (401).")
        if status == 404:
            return Failure(
                "hopeless",
                f"the server does not know the model {model!r} or this address ({said}). The names "
                f"it knows are listed at {self.base_url}/models; the address usually ends in /v1; "
                "where a server has only chats, give --engine-arg api=chat.",
            )
        if status in _HOPELESS or code == _NO_MONEY:
            return Failure("hopeless", f"the server takes no requests with this key ({said}).")
        if status in _PASSING or status >= 500:
            return Failure("passing", f"the server failed ({said}).", wait)
        if _TOO_LONG.search(message):
            return Failure(
                "refused",
                f"the prompt is too long for the server ({said}); lower --max-tokens, or raise "
                "the server's context length.",
            )
        return Failure("refused", f"the server refused the request ({said}).")

    def _clean(self, text: str) -> str:
        """A foreign text in one line, without the key."""
        text = text.replace(self._key, "[key]") if self._key else text
        text = " ".join(text.split())
        return text if len(text) <= 300 else text[:300] + "..."


def _checked_url(url: str | None) -> str:
    """The address, if it is one and holds no secret; messages do not repeat what is wrong."""
    if not url:
        raise JudgeError(
            "no server is named; give its address, such as --engine-arg "
            f"base_url=http://localhost:8000/v1, or set {URL}."
        )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = False
    if not usable:
        raise JudgeError("base_url is no address such as http://localhost:8000/v1.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise JudgeError(
            "base_url holds a user name, a password or a query; what is secret belongs in "
            f"{KEY}, and the rest of the address ends with its path, usually /v1."
        )
    return url.rstrip("/")


def _checked_key(key: str | None) -> str:
    key = (key or "").strip()
    if not all("!" <= c <= "~" for c in key):
        raise JudgeError(f"{KEY} holds a blank or a character outside ASCII; set it again.")
    return key


def _pause(attempt: int, wait: float | None) -> float:
    """Seconds before the next attempt; never less than the server asks for, and never alike."""
    if wait is not None:
        return wait * random.uniform(1, 1.1)
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
    return longest * random.uniform(0.5, 1)


def _retry_after(headers: Any) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or as a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if seconds == seconds else None


def _message(text: str) -> tuple[str, str]:
    """Code and message of an error's body, in the layouts that servers use."""
    try:
        body = json.loads(text)
    except ValueError:
        return "", text
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return "", str(error)
    message = next((error[k] for k in ("message", "detail") if error.get(k)), text)
    return str(error.get("code") or ""), str(message)
