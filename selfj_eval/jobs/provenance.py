"""How and with what a result was made: written beside it."""

from __future__ import annotations

import platform
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from selfj_eval import __version__

command: ContextVar[str | None] = ContextVar("command", default=None)
"""The command line that is at work, or None where a program calls the library."""


def provenance(*packages: str) -> dict[str, Any]:
    """Command, time and versions.

    Args:
        packages: Distributions whose versions decide the result; missing ones are skipped.
    """
    from importlib.metadata import PackageNotFoundError, version

    versions = {"selfj-eval": __version__, "python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "command": command.get(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions,
    }
