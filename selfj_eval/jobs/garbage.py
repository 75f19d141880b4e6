"""Python's search for garbage in reference cycles, where there is none to find."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


def search_seldom() -> None:
    """For a process that is a command: search seldom, and not at all at its end.

    As many commands hold 100,000 records, none in a cycle: a search each 700 objects takes up to a
    tenth of the time. The last one goes through all that torch and transformers have made, which
    takes up to a second, and frees what the system frees anyway.
    """
    gc.set_threshold(100_000, 20, 20)
    atexit.register(gc.freeze)


@contextmanager
def no_search() -> Iterator[None]:
    """Do not search while libraries are imported and a model is loaded: all of it stays.

    They make half a million objects. Afterwards these count as old, so that they are not gone
    through at once. Where the search is off already, or objects are frozen, nothing is changed.
    """
    if not gc.isenabled() or gc.get_freeze_count():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()
        gc.enable()
