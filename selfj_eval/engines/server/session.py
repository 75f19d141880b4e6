"""Requests that run beside the program: a client in an event loop in a thread of its own.

So a judge works in any thread, and where an event loop runs already, as in a notebook.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from selfj_eval.engines.server.completions import Api
from selfj_eval.engines.server.endpoint import Endpoint, Reply
from selfj_eval.engines.server.failures import Failure

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")


class Session:
    """A context in which coroutines run; what still runs at its end is cancelled.

    Args:
        endpoint: The server.

    Attributes:
        client: A client for these coroutines.
    """

    client: AsyncOpenAI

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __enter__(self) -> Session:
        self._loop = asyncio.new_event_loop()
        # A daemon, so that a program that leaves a judge half read can end.
        self._thread = Thread(target=self._loop.run_forever, name="selfj-requests", daemon=True)
        self._thread.start()
        self.client = self._endpoint.client()
        return self

    def __exit__(self, *_: object) -> None:
        self.submit(self._end()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine; its result comes through the future."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _end(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.client.close()


def ask_now(endpoint: Endpoint, api: Api, body: dict[str, Any], retries: int) -> Reply | Failure:
    """The reply to one request, waited for. Arguments as for ``Endpoint.ask``."""
    with Session(endpoint) as session:
        return session.submit(endpoint.ask(session.client, api, body, retries)).result()
