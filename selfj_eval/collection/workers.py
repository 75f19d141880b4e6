"""Worker processes that end when their parent does, however it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread, main_thread
from typing import NoReturn

_TRIES, _PAUSE = 20, 0.1
"""How often a worker is asked to end before it is made to, and the seconds between."""


@contextmanager
def worker_processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of this machine that take tasks.

    They end with the block. After an error or a signal they give up what they have at work. Where
    this process is killed without a word, they see that its end of a pipe is closed, and end.

    Args:
        count: How many.
    """
    context = get_context("spawn")  # not forked: threads of the caller would be lost in the copy
    theirs, ours = context.Pipe(duplex=False)
    with (
        theirs,
        ours,
        ProcessPoolExecutor(
            count, mp_context=context, initializer=_follow, initargs=(theirs,)
        ) as pool,
    ):
        try:
            yield pool
        except BaseException:
            ours.close()
            raise


def _follow(parent: Connection) -> None:
    """End this process when the other end of a pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent ends us
    signal.signal(signal.SIGTERM, _give_up)
    Thread(target=_wait_for_end, args=(parent,), name="selfj-parent", daemon=True).start()


def _wait_for_end(parent: Connection) -> None:
    parent.poll(None)
    # What a task leaves behind is of no use to anyone now; its temporary files are removed.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    main = main_thread().ident
    assert main is not None
    for _ in range(_TRIES):  # the first may end a task only, and the next one begins
        signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(_PAUSE)
    os._exit(1)


def _give_up(*_: object) -> NoReturn:
    raise SystemExit(1)
