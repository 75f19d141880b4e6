"""What the tests of files share."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import Record, read_records
from selfj_eval.records.notices import Notices


@pytest.fixture(scope="session")
def formats() -> Path:
    """The folder with files of other programs."""
    folder = Path(os.environ.get("SELFJ_DATA", "/nowhere")) / "formats"
    if not folder.is_dir():
        pytest.skip("SELFJ_DATA has no folder formats/, with a file of each program")
    return folder


@pytest.fixture
def copied(formats: Path) -> Callable[[str, Path], Path]:
    """Copies a file of another program's with all that lies around it, where it may be damaged."""

    def copy(name: str, folder: Path) -> Path:
        top = Path(name).parts[0]
        shutil.copytree(formats / top, folder / top)
        for file in (folder / top).rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        return folder / name

    return copy


@pytest.fixture(scope="session")
def written() -> Callable[..., Path]:
    """Writes rows as JSONL into a file."""

    def write(path: Path, *rows: object) -> Path:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="session")
def read(written: Callable[..., Path]) -> Callable[..., tuple[list[Record], str]]:
    """The records of rows in a file, and what was noted, on one line."""

    def records(
        folder: Path, *rows: dict[str, Any], name: str = "x.jsonl", **how: Any
    ) -> tuple[list[Record], str]:
        notices = Notices()
        found = read_records(written(folder / name, *rows), notices=notices, **how)
        return found, "; ".join(notices.sentences())

    return records
