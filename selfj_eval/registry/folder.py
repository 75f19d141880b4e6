"""Which folder the data packs lie in."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_folder(selfj_data: str | None = None) -> Path:
    """The folder with the data packs; it need not be there.

    Args:
        selfj_data: The folder; by default what the environment variable ``SELFJ_DATA`` names, and
            where that is not set, the user's own folder for the data of this program.
    """
    named = selfj_data or os.environ.get("SELFJ_DATA")
    return Path(named).expanduser() if named else _user_folder()


def _user_folder() -> Path:
    """Where the system wants a user's data to be."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "selfj-eval"
