"""A note in a Parquet file's own metadata: what the file was made of, so that it can be kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfj_eval.files.documents import parse_json


def write_note(writer: Any, name: str, note: dict[str, Any]) -> None:
    """Add a note to an open ``pyarrow.parquet.ParquetWriter``."""
    writer.add_key_value_metadata({name: json.dumps(note)})


def read_note(path: Path, name: str) -> dict[str, Any] | None:
    """The note of that name in a file; None where there is no whole Parquet file with one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        note = parse_json((pq.read_metadata(path).metadata or {})[name.encode()])
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return None
    return note if isinstance(note, dict) else None
