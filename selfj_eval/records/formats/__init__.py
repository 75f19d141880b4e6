"""Rows of files in the formats that are read: one file a format, rows out, nothing checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Row = tuple[str, Mapping[str, Any]]
"""Place in the file ("line 3", "row 3"), and the fields."""
Rows = Iterator[Row]
