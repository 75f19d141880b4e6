"""Requests to an OpenAI-compatible server: retries, and what went wrong, without the key."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from selfj_eval.engines.server.completions import Api, tokens_used
from selfj_eval.engines.server.failures import NO_MONEY, SPENT, TOO_LONG, Failure, told
from selfj_eval.engines.server.scrubbing import Scrubber
from selfj_eval.errors import JudgeError

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

logger = logging.getLogger(__name__)

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
_REDIRECTS = range(300, 400)
_LIMIT = "max_tokens"  # some servers have another name for it, and tell
_NEW_LIMIT = "max_completion_tokens"
_RENAMED = re.compile(
    rf"(?=.*\b{_LIMIT}\b)(?=.*\b{_NEW_LIMIT}\b).*(unsupported|not supported|\buse\b.*\binstead\b)",
    re.I | re.S,
)
_DATED = re.compile(r"[-@:]\d[\d-]*")  # what a resolved name has more than the one asked for

Reply = Mapping[str, Any]


class Endpoint:
    """A server and the key to it.

    Args:
        base_url: Its address, up to and with ``/v1``; by default the variable OPENAI_BASE_URL.
        timeout: Seconds for one request.
        retries: How often a request is sent again that failed for a passing reason.
        largest: Most bytes that a reply may have.

    Attributes:
        base_url: The address.
        tried: Whether one request has come to its end, so that it is known how to ask.
        usage: ``requests`` sent, ``retries`` among them, ``prompt_tokens`` and
            ``completion_tokens`` as the server counts them.

    Raises:
        JudgeError: If the package ``openai`` is missing, or address or key cannot be used.
    """

    def __init__(self, base_url: str | None, *, timeout: float, retries: int, largest: int) -> None:
        try:
            import openai  # noqa: F401
        except ImportError as error:
            raise JudgeError(
                'judging through a server needs the package openai: pip install "selfj-eval'
                '[openai]".'
            ) from error
        self.base_url = _checked_url(base_url or os.environ.get(URL))
        self._key = _checked_key(os.environ.get(KEY))
        self._scrubber = Scrubber(self._key)
        self._timeout, self._retries, self._largest = timeout, retries, largest
        self.tried = False
        self._limit = _LIMIT
        self._other_model = False
        self.usage = {"requests": 0, "retries": 0, "prompt_tokens": 0, "completion_tokens": 0}
        self._counting = threading.Lock()  # each session has a thread of its own

    def client(self) -> AsyncOpenAI:
        """A client; it belongs to the event loop it is first used in, and is to be closed."""
        from openai import AsyncOpenAI

        from selfj_eval.engines.server.guarded import GuardedClient

        return AsyncOpenAI(
            api_key=self._key or "none",  # the library refuses an empty key
            base_url=self.base_url,
            timeout=None,
            max_retries=0,
            http_client=GuardedClient(
                self._largest, encrypted=urlsplit(self.base_url).scheme == "https"
            ),
        )

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
            self.tried = True
            if not isinstance(got, Failure):
                used = tokens_used(got)
                self._count(prompt_tokens=used.prompt, completion_tokens=used.completion)
                self._notice(got.get("model"), body["model"])
                return got
            if got.kind != "passing":
                return got
            if got.wait is not None and got.wait > LONGEST_WAIT:
                return got._replace(reason=f"{got.reason} It asks to wait {got.wait:.0f} s.")
            if attempt > most:
                tries = "once" if attempt == 1 else f"{attempt} times"
                return got._replace(reason=f"{got.reason} It was asked {tries}.")
            await asyncio.sleep(_pause(attempt - 1, got.wait))
            self._count(retries=1)

    def _count(self, **more: int) -> None:
        with self._counting:
            for name, number in more.items():
                self.usage[name] += number

    async def _attempt(
        self, client: AsyncOpenAI, api: Api, body: dict[str, Any]
    ) -> Reply | Failure:
        import openai

        from selfj_eval.engines.server.guarded import UnusableReplyError

        self._count(requests=1)
        limit = self._limit
        sent = {limit if name == _LIMIT else name: value for name, value in body.items()}
        try:
            # The client's own timeout is one for each read, which a trickle of bytes evades.
            async with asyncio.timeout(self._timeout):
                # As text: the client's own reading would drop what it does not know.
                text = await client.post(_PATHS[api], body=sent, cast_to=str)
        except openai.APIStatusError as error:
            if limit == _LIMIT and _wants_new_limit(error):
                self._limit = _NEW_LIMIT  # from now on
                return await self._attempt(client, api, body)
            return self._failed(error, body["model"])
        except (TimeoutError, openai.APITimeoutError):
            return Failure("passing", f"the server gave no answer within {self._timeout:g} s.")
        except (openai.APIConnectionError, UnusableReplyError) as error:
            # Some versions of the package wrap whatever its HTTP client raises.
            cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
            if isinstance(cause, UnusableReplyError):
                return Failure("refused", str(cause))
            why = self._clean(str(cause or "") or type(cause).__name__)
            return Failure("passing", f"no connection to the server, or it broke ({why}).")
        try:
            reply = json.loads(text)
        except (ValueError, RecursionError):
            reply = None
        if isinstance(reply, dict):
            return reply
        begins = f" It begins: {self._clean(text[:60])!r}." if text.strip() else ""
        reason = f"the server's reply is not a JSON object, or is incomplete.{begins}"
        return Failure("passing", reason)

    def _failed(self, error: APIStatusError, model: str) -> Failure:
        """What a reply with an error status means."""
        status = error.status_code
        code, message, wait, moderated = told(error.response.text, error.response.headers)
        said = f"{status}: {self._clean(message)}" if message.strip() else f"{status}, no reason"
        if status in _REDIRECTS:
            to = error.response.headers.get("location", "")
            return Failure("hopeless", self._redirected(str(error.request.url), to, status))
        if status == 401:
            what = "refuses the key in" if self._key else "wants a key, and there is none in"
            # Its message may hold a part of the key.
            return Failure("hopeless", f"the server {what} {KEY} (401).")
        if status == 404:
            return Failure(
                "hopeless",
                f"the server does not know the model {model!r} or this address ({said}). The names "
                f"it knows are listed at {self.base_url}/models; the address usually ends in /v1; "
                "if a server has only a chat API, give `engine_args` api=chat.",
            )
        if (status in _HOPELESS and not (status == 403 and moderated)) or code == NO_MONEY:
            return Failure("hopeless", f"the server takes no requests with this key ({said}).")
        if status == 429 and (SPENT.search(message) if wait is None else wait > LONGEST_WAIT):
            # A limit is the key's, not the prompt's: to ask on would leave the rest unscored.
            rest = f" It asks to wait {wait:.0f} s." if wait else ""
            what = "takes no more requests with this key for now"
            return Failure("hopeless", f"the server {what} ({said}).{rest}")
        if status in _PASSING or status >= 500:
            return Failure("passing", f"the server failed ({said}).", wait)
        if TOO_LONG.search(message):
            return Failure(
                "refused",
                f"the prompt is too long for the server ({said}); lower `max_tokens`, or raise "
                "the server's context length.",
            )
        return Failure("refused", f"the server refused the request ({said}).")

    def _redirected(self, asked: str, location: str, status: int) -> str:
        """Why a redirect ends a run: prompts go nowhere but where they were to go."""
        try:
            parts = urlsplit(urljoin(asked, location))
            host = parts.netloc.rpartition("@")[2]
        except ValueError:
            host = ""
        if not location or not host or parts.scheme not in ("http", "https"):
            return f"the server redirects to no address that can be used ({status})."
        to = self._clean(f"{parts.scheme}://{host}{parts.path}")  # without what may be secret
        base = to.rstrip("/")
        for path in ("/chat/completions", "/completions"):
            base = base.removesuffix(path)
        says = f"the server redirects to {to} ({status}), and redirects are not followed"
        if base.rstrip("/") == self.base_url:
            return (
                f"{says}: it answers only with a slash at the end of the address, which clients of "
                f"this protocol do not send. base_url={self.base_url} is right; have the server, "
                "or the proxy before it, answer without the slash."
            )
        return f"{says}. If that is where prompts are to go, give `engine_args` base_url={base}"

    def _notice(self, named: object, asked: str) -> None:
        """Say once that the reply names another model; some servers only use another name."""
        if self._other_model or not isinstance(named, str) or named == asked or not named:
            return
        if named.startswith(asked) and _DATED.fullmatch(named[len(asked) :]):
            return
        self._other_model = True
        logger.warning(
            "selfj: note: you asked for the model %r, but the server says that %r answered; if "
            "that is a different model, the results are from that model.",
            asked,
            self._clean(named),
        )

    def _clean(self, text: str) -> str:
        """A foreign text in one line, without the key."""
        # No more than can be shown, so that a huge one costs nothing.
        text = self._scrubber.clean(text[:2000])
        text = " ".join(text.split())
        return text if len(text) <= 300 else text[:300] + "..."


def _wants_new_limit(error: APIStatusError) -> bool:
    """Whether a server takes the limit of its reply by the newer name only."""
    message = told(error.response.text, {}).message[:2000]
    if error.status_code not in (400, 422) or TOO_LONG.search(message):
        return False  # vLLM names both where a prompt is too long
    return _RENAMED.match(message) is not None


def _checked_url(url: str | None) -> str:
    """The address, if it is one and holds no secret; messages do not repeat what is wrong."""
    if not url:
        raise JudgeError(
            "no server is named; give its address, such as `engine_args` "
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
