"""Errors that nobody foresaw: one line for the user, and a file for a report."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import traceback
from importlib.metadata import PackageNotFoundError, version

from selfj_eval import __version__
from selfj_eval.engines.server.scrubbing import Scrubber
from selfj_eval.errors import brief
from selfj_eval.jobs.terminal import say

_PACKAGES = ("torch", "transformers", "peft", "lm-eval", "alpaca-eval", "vllm", "numpy", "pyarrow")
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_SHORTEST = 8  # characters of a secret; such as "1" is none


def report(error: BaseException) -> str:
    """Write a file that tells what has happened.

    The file holds the command line, versions and the traceback, and no secrets: what variables of
    the environment hold whose names say that they are keys is replaced.

    Returns:
        A sentence for the user that names the error and the file.
    """
    trace = "".join(traceback.format_exception(error))
    text = f"selfj {shlex.join(sys.argv[1:])}\n\n{_versions()}\n\n{trace}"
    # Its type too: the message alone may be as little as a number.
    reason = f"{type(error).__name__}: {brief(error)}".rstrip(".")
    for name, value in os.environ.items():
        if name.upper().endswith(_SECRET) and len(value) >= _SHORTEST:
            scrubber = Scrubber(value)
            text, reason = scrubber.clean(text), scrubber.clean(reason)
    try:
        number, path = tempfile.mkstemp(prefix="selfj-error-", suffix=".txt")
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
        where = f"please report it and attach {path}"
    except OSError:
        say(text, file=sys.stderr)
        where = "please report it with the output above"
    return f"an unexpected error in selfj-eval ({reason}). What was finished is kept; {where}."


def _versions() -> str:
    """Versions, one a line."""
    lines = [f"selfj-eval {__version__}", f"Python {sys.version}", platform.platform()]
    for name in _PACKAGES:
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return "\n".join(lines)
