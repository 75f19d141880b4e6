"""What stands before the routes: token or host, size of the body, time limit, counting, logging."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Collection
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from selfj_eval.errors import shown
from selfj_eval.serving.access import is_allowed
from selfj_eval.serving.faults import RefusedError, fault, internal_fault
from selfj_eval.serving.hosts import Hosts
from selfj_eval.serving.measures import Measures
from selfj_eval.serving.options import ApplicationOptions

logger = logging.getLogger("selfj_eval.serving")


@dataclass
class _State:
    """What is known of a request.

    Attributes:
        received: Bytes of its body.
        complete: Whether all of the body is here.
        status: Of the answer; 0 before there is one.
    """

    received: int = 0
    complete: bool = False
    status: int = 0


class Limits:
    """Middleware around the application; all its answers go through here.

    Args:
        app: What it stands before.
        options: The limits.
        token: What a request must carry, or None.
        hosts: The names that its Host header may have where there is no token.
        measures: Where it is counted.
        paths: The paths that are counted by name.
        open_paths: Those that need neither.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        options: ApplicationOptions,
        token: str | None,
        hosts: Hosts,
        measures: Measures,
        paths: Collection[str],
        open_paths: Collection[str],
    ) -> None:
        self._app, self._options, self._token, self._hosts = app, options, token, hosts
        self._measures, self._paths, self._open = measures, paths, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, state = time.monotonic(), _State()
        path = str(scope["path"]).removeprefix(scope.get("root_path", ""))

        async def receive_some() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                state.received += len(message.get("body", b""))
                state.complete = not message.get("more_body", False)
                if state.received > self._options.max_body:
                    raise RefusedError(413, "too_large", self._too_large)
            return message

        async def send_some(message: Message) -> None:
            if message["type"] == "http.response.start":
                state.status = message["status"]
            await send(message)

        refused = self._refusal(scope, path)
        if refused is None:
            refused = await self._answered(scope, receive_some, send_some, state)
        if refused is not None and not state.status:
            await refused(scope, receive, send_some)
        seconds = time.monotonic() - began
        self._measures.request(path if path in self._paths else "other", state.status, seconds)
        if path not in self._open:
            where = shown(path) if path in self._paths or self._options.log_texts else "(other)"
            logger.info("%s %s %d %.3f s", scope["method"], where, state.status, seconds)

    def _refusal(self, scope: Scope, path: str) -> Response | None:
        """Why a request is refused before its body is read."""
        headers = dict(scope["headers"])
        if self._token is not None and path not in self._open:
            given = headers.get(b"authorization")
            if not is_allowed(given, self._token):
                why = "no token was sent" if given is None else "the token is wrong"
                message = f"{why}; send the header Authorization: Bearer TOKEN."
                return fault(401, "wrong_token", message, headers={"WWW-Authenticate": "Bearer"})
        if self._token is None and path not in self._open:
            host = headers.get(b"host", b"").decode("latin-1")
            if not self._hosts.has(host):
                message = (
                    f"the service has no token, and is not asked by the name {host!r:.80}; ask it "
                    "by localhost, or start it with a token."
                )
                return fault(421, "wrong_host", message)
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._options.max_body:
            return fault(413, "too_large", self._too_large)
        return None

    @property
    def _too_large(self) -> str:
        return f"the body has more than {self._options.max_body:,} bytes; send fewer records."

    async def _answered(
        self, scope: Scope, receive: Receive, send: Send, state: _State
    ) -> Response | None:
        """Let the application answer; else an answer that says why it did not."""
        limit = self._options.timeout
        within = asyncio.timeout(limit)
        try:
            async with within:
                await self._app(scope, receive, send)
        except Exception as error:
            if isinstance(error, TimeoutError) and within.expired():  # and not one of the judge's
                if not state.complete:
                    message = f"the body did not arrive within {limit:g} s."
                    return fault(408, "slow_body", message, headers={"Connection": "close"})
                message = f"the judge did not answer within {limit:g} s; send fewer records."
                return fault(504, "too_slow", message)
            logger.error("%s", self._reason(error))
            if state.status:  # half an answer must not pass for a whole one
                raise
            return internal_fault()
        return None

    def _reason(self, error: Exception) -> str:
        """What went wrong, for the log: without its message, which may quote an answer."""
        if self._options.log_texts:
            return "".join(traceback.format_exception(error)).strip()
        frames = traceback.extract_tb(error.__traceback__)[-5:]
        places = ", ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
        kind = type(error).__name__
        return f"{kind} in {places} (its message may quote a text; `log_texts` logs it, too)"
