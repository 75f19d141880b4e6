"""The verb ``serve``: the application in a server of its own, until it is asked to end."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, brief, counted
from selfj_eval.jobs.options import OptionError, keywords
from selfj_eval.jobs.results import Result
from selfj_eval.serving.access import refuse_open, token_from_environment
from selfj_eval.serving.options import ServeOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

    from selfj_eval.serving.service import Service

_LAST = 2.0  # seconds at most until clients have been told, after a second signal
_GRACE = 5  # seconds beyond the time limit in which what was taken has been answered
_CONNECTIONS = 2048  # that the system keeps until the service takes them


@dataclass(frozen=True)
class Served(Result):
    """What a service did until it ended.

    Attributes:
        requests: How many for judgments or decisions were answered, whatever the status.
        answered: Those with status 200.
        scored, unscored: Records in these.
        refused: Requests that were refused because too many records waited.
        too_slow: Requests that exceeded their time limit.
        accepted, declined: Decisions.
        cut_short: Whether a second signal ended it; the judge may then still be running.
        seconds: How long it ran.
    """

    requests: int
    answered: int
    scored: int
    unscored: int
    refused: int
    too_slow: int
    accepted: int
    declined: int
    cut_short: bool
    seconds: float

    def rows(self) -> list[dict[str, Any]]:
        """One row."""
        return [self.to_dict()]

    def __str__(self) -> str:
        lines = [
            f"{counted(self.requests, 'request')} in {self.seconds:.0f} s, {self.answered:,} "
            f"answered with {counted(self.scored + self.unscored, 'judgment')} "
            f"({self.unscored:,} unscored)"
        ]
        if self.accepted or self.declined:
            lines.append(f"  accepted {self.accepted:,}, declined {self.declined:,}")
        if self.refused or self.too_slow:
            lines.append(
                f"  refused because too many records waited: {self.refused:,}; too slow: "
                f"{self.too_slow:,}"
            )
        if self.cut_short:
            lines.append("  a second signal ended it before everything was answered")
        return "\n".join(lines)


def serve_judge(options: ServeOptions) -> Served:
    """Serve a judge over HTTP until SIGTERM, SIGINT (Ctrl-C), or SIGHUP.

    It then accepts no new requests and answers those that it has accepted. A second signal ends it
    at once: requests that are not answered yet get 503. The environment variable
    ``SELFJ_SERVE_TOKEN`` holds the bearer token that requests must carry. Without a token, the
    service listens only on this machine's own addresses, and accepts only requests to their names.
    docs/serving.md describes the service. For other servers, there is
    ``selfj_eval.serving.application.make_application``.

    Raises:
        DataError: If the packages for it are missing, other machines could use it without a
            token, the port is taken, or the policy is for another judge.
        JudgeError: If the judge cannot be loaded completely and safely.
    """
    token = token_from_environment()
    refuse_open(options.host, token)
    try:
        from selfj_eval.serving.application import make_application
        from selfj_eval.serving.limits import logger
        from selfj_eval.serving.service import Service
    except ImportError as error:
        raise DataError(
            f"the service needs packages that are not installed ({brief(error)}); "
            "pip install 'selfj-eval[web]'."
        ) from error
    with _listening(options) as listener:  # before a large judge is loaded
        service = Service(options)
        for note in service.notes:
            logger.warning("note: %s", note)
        began = time.monotonic()
        listener.listen(_CONNECTIONS)  # whoever reads the next line may ask at once
        logger.info("%s is served on %s (Ctrl-C ends it)", service.name, _address(listener))
        application = make_application(options, service=service, token=token, hosts=[options.host])
        try:
            cut_short = _run(application, service, listener, options)
        finally:
            service.close()
        return _served(service, cut_short, time.monotonic() - began)


serve = keywords(serve_judge, ServeOptions)


@contextmanager
def _listening(options: ServeOptions) -> Iterator[socket.socket]:
    """A socket at the address; it is not listened on before the judge is loaded."""
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
    except OSError as error:
        raise OptionError("host", f"is no address of this machine: {options.host!r}.") from error
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            why = error.strerror or error
            raise DataError(
                f"cannot listen on port {options.port} of {options.host} ({why}); give another "
                "`port`."
            ) from error
        yield listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _run(
    application: FastAPI, service: Service, listener: socket.socket, options: ServeOptions
) -> bool:
    """Serve until a signal; returns whether a second one cut it short."""
    import uvicorn

    class Server(uvicorn.Server):
        cut_short = False

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """As uvicorn's own, but a signal is no error: the process goes on and says so."""

            def stop(*_: object) -> None:
                self.cut_short = self.should_exit
                self.should_exit = True

            with _handling(stop):
                yield

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """As uvicorn's own, but after a second signal nothing more is waited for."""
            ending = asyncio.create_task(super().shutdown(sockets))
            while not (ending.done() or self.cut_short):
                await asyncio.wait([ending], timeout=0.1)
            if not ending.done():
                service.queue.give_up()
                await asyncio.wait([ending], timeout=_LAST)
            if not ending.done():  # of clients that do not send the rest of a request
                for connection in list(self.server_state.connections):
                    connection.transport.abort()
                await asyncio.wait([ending], timeout=_LAST)
            if ending.done():
                await ending
            ending.cancel()

    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_CONNECTIONS,
        timeout_graceful_shutdown=int(options.timeout) + _GRACE,
    )
    server = Server(config)
    server.run([listener])
    return server.cut_short


@contextmanager
def _handling(stop: Any) -> Iterator[None]:
    """Call ``stop`` at signals, where this is the thread that gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # One that is ignored, as SIGHUP under nohup, stays so.
    ours = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _served(service: Service, cut_short: bool, seconds: float) -> Served:
    from selfj_eval.serving.application import DECIDE, JUDGE

    def requests(**labels: str) -> int:
        return sum(service.measures.total("requests", path=p, **labels) for p in (JUDGE, DECIDE))

    total = service.measures.total
    return Served(
        requests=requests(),
        answered=requests(status="200"),
        scored=total("records", outcome="scored"),
        unscored=total("records", outcome="unscored"),
        refused=requests(status="429"),
        too_slow=requests(status="504"),
        accepted=total("decisions", decision="accept"),
        declined=total("decisions", decision="decline"),
        cut_short=cut_short,
        seconds=round(seconds, 2),
    )
