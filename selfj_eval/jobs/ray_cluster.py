"""Ray, started for a block and quiet."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from threading import current_thread, main_thread

from selfj_eval.errors import JudgeError, brief


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Connect to the cluster that ``RAY_ADDRESS`` names, or start Ray on this machine.

    What is started here ends with the block. Ray that runs already is used and left running.

    Raises:
        JudgeError: If Ray is not installed, or gives up.
    """
    # Its backend reports every restart of a worker as an error of its own.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        from ray.data import DataContext
    except ImportError as error:
        raise JudgeError(
            "Ray is not installed; pip install 'selfj-eval[ray]', or leave out `engine` ray."
        ) from error
    # Ray prints the deaths of workers to stdout, which is for our results.
    with redirect_stdout(sys.stderr):
        started = not ray.is_initialized()
        if started:
            # Ray's own handler of SIGTERM would end us without a word.
            terminated = signal.getsignal(signal.SIGTERM)
            try:
                ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
            except SystemExit:
                if callable(terminated):
                    terminated(signal.SIGTERM, None)
                raise
            finally:
                if current_thread() is main_thread() and terminated is not None:
                    signal.signal(signal.SIGTERM, terminated)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        DataContext.get_current().enable_progress_bars = False
        try:
            yield
        except ray.exceptions.RayError as error:
            raise JudgeError(
                f"Ray gave up: {brief(error).rstrip('.')}. What was finished is kept; run it again."
            ) from error
        finally:
            if started:
                ray.shutdown()
