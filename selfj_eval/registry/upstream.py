"""A file of an upstream repository, as a converter reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.files.documents import parse_json


@dataclass(frozen=True, slots=True)
class UpstreamFile:
    """One file of a public repository at one commit, here on disk.

    Attributes:
        repository: ``owner/name``.
        commit: Full hash.
        path: Within the repository.
        local: Where its content lies; checked against the registry's checksum.
    """

    repository: str
    commit: str
    path: str
    local: Path

    def __str__(self) -> str:
        return f"{self.repository}@{self.commit[:12]}/{self.path}"

    def text(self) -> str:
        """The content."""
        return self.local.read_text(encoding="utf-8")

    def json(self) -> Any:
        """The content, as one JSON document."""
        try:
            return parse_json(self.text(), strict=False)
        except ValueError as error:
            raise self.error(f"is not JSON ({error})") from error

    def jsonl(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Place (``line 3``) and object of each line that is not blank."""
        with self.local.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    row = parse_json(line, strict=False)
                except ValueError as error:
                    raise self.error(f"is not JSON ({error})", f"line {number}") from error
                if not isinstance(row, dict):
                    raise self.error("expected an object", f"line {number}")
                yield f"line {number}", row

    def error(self, message: str, place: str | None = None, field: str | None = None) -> DataError:
        """An error that names this file; upstream's layout is not what the converter knows."""
        return DataError(
            f"{message}; this is not the file that the converter was written for.",
            path=str(self),
            place=place,
            field=field,
        )
