"""A limit on the time that a call may take which runs what a stranger has written."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

from selfj_eval.errors import JudgeError, brief

T = TypeVar("T")

LOADING_SECONDS = 300.0
"""For reading a tokenizer, which takes a few seconds where it is large and the disk slow."""
RUNNING_SECONDS = 20.0
"""For one use of it, or of a chat template."""


def within(seconds: float, call: Callable[[], T], what: str) -> T:
    """The result of a call, unless it takes too long.

    It runs in a thread of its own, so that this works in any thread, and Ctrl-C too. Python code
    that takes too long is stopped. Code of a library goes on until it ends, which does not
    keep the process from ending.

    Args:
        seconds: The limit.
        call: What to do; an error that it raises is raised here.
        what: What it is, for the error: "the chat template of x".

    Raises:
        JudgeError: If it has not ended in time.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=copy_context().run, args=(run,), daemon=True)
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    if errors:
        if isinstance(errors[0], Exception):
            raise errors[0]
        # A panic in a library, such as a regular expression that takes too many steps.
        raise JudgeError(f"{what} fails: {brief(errors[0])}") from errors[0]
    stop = ctypes.py_object(SystemExit)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), stop)
    raise JudgeError(
        f"{what} has not ended after {seconds:g} seconds, where others take milliseconds. Is it "
        "from a source that you trust?"
    )
