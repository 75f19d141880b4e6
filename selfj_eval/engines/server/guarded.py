"""An HTTP client for the package ``openai`` that takes from a server only what it was asked for.

It follows no redirect: prompts go to the address that was named, and nowhere else. It reads no
more of a reply than was asked for, compressed or not. A reply with status 200 that holds an error
gets the error's own status, so that whoever reads it need not know of such servers.
"""

from __future__ import annotations

import ssl
import zlib
from typing import TYPE_CHECKING, Any

from openai import DefaultAsyncHttpxClient

from selfj_eval.engines.server.failures import error_inside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_REPLACED = ("content-encoding", "content-length", "transfer-encoding")


class UnusableReplyError(Exception):
    """A reply that is not read to its end; the message says why."""


class GuardedClient(DefaultAsyncHttpxClient):
    """A client for ``openai.AsyncOpenAI``; httpx is another package for its next version.

    Args:
        largest: Most bytes that a reply may have, before and after it is unpacked.
        encrypted: Whether the address begins with https. Only then does it read certificates, which
            takes as long as a small judge's reply.
    """

    def __init__(self, largest: int, *, encrypted: bool) -> None:
        # Without a timeout: whoever asks has one for the whole request.
        super().__init__(
            timeout=None,
            headers={"Accept-Encoding": "gzip"},
            # Not encrypted: a context that trusts no certificate.
            verify=True if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
        self._largest = largest

    async def send(self, request: Any, **options: Any) -> Any:
        """As httpx's, but for what the module says.

        Raises:
            UnusableReplyError: If the reply is too large, or compressed in another way.
        """
        options |= {"stream": True, "follow_redirects": False}
        response = await super().send(request, **options)
        try:
            data = await self._read(response.aiter_raw())
        finally:
            await response.aclose()
        data = self._unpacked(data, response.headers.get("content-encoding", "identity").lower())
        status = response.status_code
        if status == 200 and (inside := error_inside(data)) is not None:
            status, data = inside
        headers = [pair for pair in response.headers.multi_items() if pair[0] not in _REPLACED]
        return type(response)(status, headers=headers, content=data, request=request)

    async def _read(self, chunks: AsyncIterator[bytes]) -> bytes:
        data = bytearray()
        async for chunk in chunks:
            data += chunk
            if len(data) > self._largest:
                raise self._too_large()
        return bytes(data)

    def _unpacked(self, data: bytes, encoding: str) -> bytes:
        if encoding in ("identity", ""):
            return data
        if encoding not in ("gzip", "x-gzip"):
            raise UnusableReplyError(
                f"the server's reply is compressed in a way that it was not asked for "
                f"({ascii(encoding)[1:30]}); expected gzip or nothing."
            )
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            data = unpacking.decompress(data, self._largest + 1)
        except zlib.error:
            return b""  # which is no JSON, either
        if len(data) > self._largest:
            raise self._too_large()
        return data

    def _too_large(self) -> UnusableReplyError:
        return UnusableReplyError(
            f"the server's reply has more than {self._largest:,} bytes, far more than was asked "
            "for; it was not read to its end."
        )
