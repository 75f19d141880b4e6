"""Which names may leave this machine."""

from __future__ import annotations

import re
from pathlib import Path


def is_place(name: str) -> bool:
    """Whether the name of a model or a rater holds a folder of this machine."""
    return any(map(_is_place, re.split(r"[+*:]", name)))


def _is_place(part: str) -> bool:
    outright = part.startswith((".", "~", "/")) or "\\" in part or part.count("/") > 1
    return outright or ("/" in part and Path(part).exists())
