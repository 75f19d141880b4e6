"""How a command ends that does not end by itself: errors, signals, and what nobody foresaw.

Only what is needed to catch them is imported at once: a signal may come in the first moments.
"""

from __future__ import annotations

import signal
import sys

TYPE_CHECKING = False  # as in selfj_eval/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

INTERNAL_ERROR = 70
"""Exit status of a fault in this program; EX_SOFTWARE of the BSDs' ``sysexits.h``."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
_received: int | None = None


class Stopped(KeyboardInterrupt):
    """A signal asks the command to end.

    Args:
        number: The signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


def guarded(run: Callable[[], int]) -> int:
    """Run a command, and say in one line what stopped it.

    Ctrl-C, SIGTERM and SIGHUP end it alike: what is at work cleans up, and what was finished is
    kept. A signal that the command was started to ignore (``nohup``) is ignored.

    Args:
        run: The command; returns its exit status.

    Returns:
        The exit status: the command's own; 2 for wrong input, 128 and the signal's number where
        one stopped it, ``INTERNAL_ERROR`` for what nobody foresaw.
    """
    global _received
    _received = None
    defaults = (signal.default_int_handler, signal.SIG_DFL)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = [number for number, handler in before.items() if handler in defaults]
    try:
        try:
            for number in ours:
                signal.signal(number, _stop)
        except ValueError:  # only the main thread takes signals
            ours = []
        return run()
    except SystemExit:
        raise
    except BaseException as error:
        return _status_of(error)
    finally:
        for number in ours:
            signal.signal(number, before[number])


def stop_if_asked() -> None:
    """Raise ``Stopped`` again where some library has swallowed it."""
    if _received is not None:
        raise Stopped(_received)


def _stop(number: int, _: FrameType | None) -> None:
    global _received
    _received = number
    raise Stopped(number)


def _status_of(error: BaseException) -> int:
    """Say what has stopped the command; returns the exit status."""
    from selfj_eval.errors import SelfJError, printable, shown
    from selfj_eval.jobs.terminal import say

    if isinstance(error, SelfJError):
        say(f"selfj: error: {error}", file=sys.stderr)
        return 2
    if isinstance(error, KeyboardInterrupt):
        number = error.number if isinstance(error, Stopped) else int(signal.SIGINT)
        what = "interrupted" if number == signal.SIGINT else "terminated"
        say(f"\nselfj: {what}; run the same command again to continue.", file=sys.stderr)
        return 128 + number
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return 1
    if isinstance(error, OSError):  # such as a name that is longer than the system takes
        place = "" if error.filename is None else f"{shown(printable(error.filename))}: "
        say(f"selfj: error: {place}{shown(error.strerror or error)}.", file=sys.stderr)
        return 2
    from selfj_eval.cli.unforeseen import report

    say(f"selfj: error: {shown(report(error))}", file=sys.stderr)
    return INTERNAL_ERROR
