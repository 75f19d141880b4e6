"""Traffic with one server: so many requests at once, what they cost, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from selfj_eval.engines.server.endpoint import Endpoint
from selfj_eval.engines.server.failures import Failure
from selfj_eval.engines.server.session import Session
from selfj_eval.errors import JudgeError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

GIVE_UP = 20
"""Prompts in a row, each with all its retries, that may go unanswered before a run stops."""

Kind = tuple[tuple[type, ...], str]
TEXT: Kind = ((str,), "text")
WHOLE: Kind = ((int,), "a whole number")
NUMBER: Kind = ((int, float), "a number")

LARGEST = 1 << 20
"""Bytes that a reply may have beside those for the tokens that were asked for."""

ARGUMENTS: Mapping[str, Kind] = {
    "base_url": TEXT,
    "concurrency": WHOLE,
    "timeout": NUMBER,
    "retries": WHOLE,
    "price_in": NUMBER,
    "price_out": NUMBER,
}
"""The arguments of ``Traffic``, as a user may give them."""

T = TypeVar("T")
Reply = TypeVar("Reply")


class ServerArguments(TypedDict, total=False):
    """How a server is asked: the arguments of ``Traffic`` that its users pass on."""

    base_url: str | None
    concurrency: int
    timeout: float
    retries: int
    price_in: float | None
    price_out: float | None


class Traffic:
    """Requests to one server, and what they cost.

    Args:
        base_url: The server's address, usually ending in ``/v1``; by default the variable
            OPENAI_BASE_URL.
        concurrency: Requests under way at once, 1 to 1000.
        timeout: Seconds for one request.
        retries: How often a request is sent again after a passing failure.
        price_in, price_out: Money for a million tokens of prompts and of answers, for ``usage``.
        more: Bytes that a reply may have beside ``LARGEST``.

    Attributes:
        endpoint: The server.

    Raises:
        JudgeError: If an argument makes no sense, or as for ``Endpoint``.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        concurrency: int = 32,
        timeout: float = 300.0,
        retries: int = 6,
        price_in: float | None = None,
        price_out: float | None = None,
        more: int = 0,
    ) -> None:
        check_bounds("concurrency", concurrency, 1, 1000)
        check_bounds("timeout", timeout, 1e-3, 1e6)
        check_bounds("retries", retries, 0, 100)
        check_bounds("price_in", price_in or 0, 0, 1e9)
        check_bounds("price_out", price_out or 0, 0, 1e9)
        self.endpoint = Endpoint(base_url, timeout=timeout, retries=retries, largest=LARGEST + more)
        self._concurrency = concurrency
        self._prices = (price_in, price_out)

    @property
    def usage(self) -> Mapping[str, float]:
        """``requests`` sent, ``retries`` among them, ``prompt_tokens``, ``completion_tokens``.

        Tokens are as the server counts them; with prices also the ``cost`` of them.
        """
        found: dict[str, float] = dict(self.endpoint.usage)
        if self._prices != (None, None):
            price_in, price_out = (price or 0.0 for price in self._prices)
            cost = found["prompt_tokens"] * price_in + found["completion_tokens"] * price_out
            found["cost"] = cost / 1e6
        return found

    def send(
        self,
        items: Iterable[T],
        ask: Callable[[AsyncOpenAI, T], Coroutine[Any, Any, Reply | Failure]],
    ) -> Iterator[dict[int, Reply | Failure]]:
        """Ask something about each item, some at a time.

        Args:
            items: The items.
            ask: Asks for one, with the client that it is given.

        Yields:
            What has just been finished, by position, in the order in which the server answers.

        Raises:
            JudgeError: If nothing more can be asked: a failure is hopeless, or ``GIVE_UP`` items
                in a row have failed for passing reasons. What was yielded before counts.
        """
        waiting = enumerate(items)
        running: dict[Future[Reply | Failure], int] = {}
        failed = 0
        with Session(self.endpoint) as session:

            def fill() -> None:
                # The first one alone: what it finds out, the others need not be told again.
                most = self._concurrency if self.endpoint.tried else 1
                for index, item in islice(waiting, max(0, most - len(running))):
                    running[session.submit(ask(session.client, item))] = index

            fill()
            while running:
                done = wait(running, return_when=FIRST_COMPLETED).done
                finished = {running.pop(future): future.result() for future in done}
                failures = [got for got in finished.values() if isinstance(got, Failure)]
                passing = [got for got in failures if got.kind == "passing"]
                failed = failed + len(finished) if len(passing) == len(finished) else 0
                stop = self._stop(failures, failed)
                if stop is None:
                    fill()  # before what is finished is stored
                yield finished
                if stop is not None:
                    raise stop

    def _stop(self, failures: list[Failure], failed: int) -> JudgeError | None:
        """The error that ends a run, if it must end."""
        reasons = {failure.kind: failure.reason for failure in failures}
        if "hopeless" in reasons:
            return JudgeError(f"{reasons['hopeless']} What was finished is kept.")
        if failed < GIVE_UP:
            return None
        return JudgeError(
            f"{failed} prompts in a row had no answer from {self.endpoint.base_url}, the last: "
            f"{reasons['passing']} What was finished is kept; run it again when the server works."
        )


def check_bounds(name: str, value: float, least: float, most: float) -> None:
    """Refuse a number outside its bounds, and one that is not a number.

    Raises:
        JudgeError: If it is.
    """
    if not least <= value <= most:
        raise JudgeError(f"{name} must be in {least:g}..{most:g}, got {value:g}.")


def checked_arguments(given: Mapping[str, Any], known: Mapping[str, Kind]) -> dict[str, Any]:
    """Arguments as a user has given them, without those that are None: the defaults.

    Args:
        given: Values by name.
        known: The arguments that there are, and what they may be.

    Raises:
        JudgeError: If one is unknown or of the wrong type.
    """
    for name, value in given.items():
        kinds, words = known.get(name, ((), ""))
        # What was given is not repeated: it may be a key.
        if not kinds:
            raise JudgeError(
                f"the engine openai takes no argument {name!r}; there are: "
                f"{', '.join(known)}. The key is read from OPENAI_API_KEY."
            )
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            raise JudgeError(f"the engine argument {name} must be {words}.")
    return {name: value for name, value in given.items() if value is not None}
