"""How and with what a result was made: written beside it."""

from __future__ import annotations

import argparse
import hashlib
import platform
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selfj_eval import __version__
from selfj_eval.errors import printable


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def provenance(options: argparse.Namespace, *packages: str) -> dict[str, Any]:
    """Command, time and versions.

    Args:
        options: The command's, with ``argv``.
        packages: Distributions whose versions decide the result; missing ones are left out.
    """
    from importlib.metadata import PackageNotFoundError, version

    versions = {"selfj-eval": __version__, "python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "command": printable(shlex.join(["selfj", *options.argv])),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions,
    }
