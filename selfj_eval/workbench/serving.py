"""Serve a page from this machine until the user ends it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from selfj_eval.errors import DataError, brief
from selfj_eval.jobs.terminal import say
from selfj_eval.workbench.options import LOCAL, PageOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

_USUAL_PORT = 8765
_GRACE = 3  # seconds that requests in work have when the server ends


def serve_page(app: FastAPI, options: PageOptions) -> None:
    """Serve a page, print its address on stderr, and open a browser where that was asked for.

    Returns when the user presses Ctrl-C.

    Args:
        app: What ``new_application`` gave, with its routes.
        options: Where, and whether a browser is opened.

    Raises:
        DataError: If the address cannot be used.
        KeyboardInterrupt: If another signal asks the command to end.
    """
    with running(app, options) as address:
        say(f"Open {address} in a browser; Ctrl-C ends.", file=sys.stderr)
        if options.host not in (LOCAL, "localhost", "::1"):
            note = (
                "note: everybody who can reach this address can use the page: no password is asked."
            )
            say(note, file=sys.stderr)
        if _has_screen() if options.open_browser is None else options.open_browser:
            webbrowser.open(address)
        try:
            while True:
                time.sleep(0.5)  # another thread may get the signal, and not wake this one
        except KeyboardInterrupt as stop:
            # The command line raises it for every signal, with the signal's number.
            if getattr(stop, "number", signal.SIGINT) != signal.SIGINT:
                raise


@contextmanager
def running(app: FastAPI, options: PageOptions) -> Iterator[str]:
    """A server at work in a thread of its own, which has ended when the block has.

    Args:
        app: As for ``serve_page``.
        options: Where.

    Yields:
        The address, such as ``http://127.0.0.1:8765/``.

    Raises:
        DataError: If the address cannot be used, or the server does not start.
    """
    import uvicorn

    with _listening(options) as bound:
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
        server = uvicorn.Server(config)
        failures: list[BaseException] = []

        def work() -> None:
            try:
                server.run([bound])
            except BaseException as error:
                if server.started:
                    raise
                failures.append(error)

        # In a thread, uvicorn leaves the process's signals alone.
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        host = f"[{options.host}]" if ":" in options.host else options.host
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            if not server.started:
                why = ", ".join(f"{type(own).__name__}: {brief(own)}" for own in failures)
                raise DataError(f"the server of the page ended at its start ({why}).")
            yield f"http://{host}:{bound.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


def _listening(options: PageOptions) -> socket.socket:
    """A socket at the address; where no port was asked for, a free one if the usual is taken."""
    ports = (_USUAL_PORT, 0) if options.port is None else (options.port,)
    for port in ports:
        try:
            (family, _, _, _, place), *_ = socket.getaddrinfo(
                options.host, port, type=socket.SOCK_STREAM
            )
            # What create_server sets lets the port be used again at once, but not by two.
            return socket.create_server(place[:2], family=family)
        except OSError as error:
            if port != ports[-1]:
                continue
            raise DataError(
                f"{options.host}, port {port}: the page cannot be served there "
                f"({error.strerror or error}). Give another `host` or `port`."
            ) from error
    raise AssertionError("unreachable")


def _has_screen() -> bool:
    """Whether somebody sits at a terminal on a machine with a screen, not a text browser."""
    graphic = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return graphic and sys.stdout.isatty()
