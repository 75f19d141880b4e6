"""Who may ask a page's server, and what a browser may do with its answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from selfj_eval.serving.hosts import Hosts

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-selfj"
"""A request that changes something must have it: another site's page cannot send it unasked."""
LARGEST_BODY = 1_000_000
"""Bytes of a request."""
_SAFE = ("GET", "HEAD")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuses requests from elsewhere, and adds the security headers to every response.

    A page of another site can make a browser ask this server: by a name of its own that leads here,
    which ``Hosts`` refuses, or by a form or a script, which the Origin header and the missing
    header ``HEADER`` show.

    Args:
        app: What answers the other requests.
        host: The address at which the server listens.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._hosts = Hosts([host])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # no page uses web sockets
            return
        refused = self._refused(scope["method"], scope["headers"])

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        if refused is None:
            await self._app(scope, receive, send_guarded)
            return
        from starlette.responses import JSONResponse

        status, reason = refused
        await JSONResponse({"error": reason}, status)(scope, receive, send_guarded)

    def _refused(
        self, method: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> tuple[int, str] | None:
        """Status and reason where a request is refused."""
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        host = given.get("host", "")
        if not self._hosts.has(host):
            return 421, "this server has another name; open the address that the command printed."
        if method in _SAFE:
            return None
        origin = given.get("origin")
        if HEADER not in given or (origin is not None and origin.partition("://")[2] != host):
            return 403, "only the page itself may ask for this."
        if "transfer-encoding" in given or not given.get("content-length", "0").isdigit():
            return 411, "the length of the request is missing."
        if int(given.get("content-length", "0")) > LARGEST_BODY:
            return 413, f"the request has more than {LARGEST_BODY:,} bytes."
        return None
