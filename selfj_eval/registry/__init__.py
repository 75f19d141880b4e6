"""The registry of public data sets: what ``selfj data`` gets, and how it is checked.

The sets are data, not code: ``sets/<pack>/<set>.yaml``. Their converters are functions in
``converters/``. Users know this package as ``selfj_eval.data``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfj_eval.registry.getting import get
    from selfj_eval.registry.listing import data_path as path
    from selfj_eval.registry.listing import list_data as list
    from selfj_eval.registry.sets import load_sets
    from selfj_eval.registry.verifying import verify_data as verify

_HOMES = {
    "get": ("getting", "get"),
    "list": ("listing", "list_data"),
    "load_sets": ("sets", "load_sets"),
    "path": ("listing", "data_path"),
    "verify": ("verifying", "verify_data"),
}

__all__ = ["get", "list", "load_sets", "path", "verify"]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
