"""Whether a file is the one that the registry means."""

from __future__ import annotations

import hashlib
from pathlib import Path

from selfj_eval.files.hashes import sha256_of
from selfj_eval.registry.sets import SourceFile


def difference(file: SourceFile, path: Path) -> str | None:
    """What is wrong with a file's content, found and expected; None if nothing is."""
    size = path.stat().st_size
    if size != file.bytes:
        return f"it has {size:,} bytes, the registry says {file.bytes:,}"
    if file.sha256 is not None and (found := sha256_of(path)) != file.sha256:
        return f"its sha256 is {found}, the registry says {file.sha256}"
    if file.blob is not None and (found := _blob_of(path)) != file.blob:
        return f"its git blob id is {found}, the registry says {file.blob}"
    return None


def _blob_of(path: Path) -> str:
    total = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            total.update(block)
    return total.hexdigest()
