"""What the library logs, on stderr while a command runs."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from selfj_eval.jobs.terminal import say


class _Said(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print a message of the log, inert."""
        say(self.format(record), file=sys.stderr)


@contextmanager
def logged() -> Iterator[None]:
    """Print what the library logs from INFO on, as plain lines.

    What other libraries say of their next versions is for programmers, and is not shown.
    """
    logger = logging.getLogger("selfj_eval")
    handler, level, propagate = _Said(), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", category=FutureWarning, module="transformers|peft|trl"
            )
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
