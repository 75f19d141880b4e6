"""The instruction collection of Self-J (arXiv 2409.00935): 37 sources in three categories.

``sources`` reads what is known of them (``sources.yaml``), ``reading`` their rows, ``converters``
make instructions of rows, ``filters`` and ``contamination`` drop some, ``duplicates`` finds what is
there twice. ``preparing`` makes one source ready, ``pipeline`` all of them. ``sampling``,
``statistics`` and ``verbs`` work on what came out. Users know this package as
``selfj_eval.collect``: ``run``, ``sample`` and ``stats``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfj_eval.collection.collecting import run
    from selfj_eval.collection.describing import stats
    from selfj_eval.collection.sampling import sample

_HOMES = {"run": "collecting", "sample": "sampling", "stats": "describing"}

__all__ = ["run", "sample", "stats"]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
