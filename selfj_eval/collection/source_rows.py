"""A row of a source, with its values checked as they are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfj_eval.collection.sources import Source
from selfj_eval.errors import DataError


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row.

    Attributes:
        source: Where it is from.
        place: Where in it, such as ``train.jsonl, line 3``.
        values: Its fields.
    """

    source: Source
    place: str
    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A field that holds a text; null, which tables have for an empty cell, is none.

        Raises:
            DataError: If it is missing or holds something else.
        """
        return self._text(self._value(name), name)

    def texts(self, name: str) -> list[str]:
        """A field that holds a list of texts.

        Raises:
            DataError: If it is missing or holds something else.
        """
        value = self._value(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(f"expected a list of texts, got {type(value).__name__}", name)
        return [self._text(item, name) for item in value]

    def number(self, name: str) -> int:
        """A field that holds a whole number.

        Raises:
            DataError: If it is missing or holds something else.
        """
        value = self._value(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(f"expected a whole number, got {value!r:.60}", name)
        return value

    def error(self, message: str, field: str) -> DataError:
        """An error that names source, place and field."""
        return DataError(
            f"{message}; the schema has changed, the source's entry in sources.yaml does not fit.",
            path=self.source.name,
            place=self.place,
            field=field,
        )

    def require(self, name: str) -> None:
        """Raise the ``DataError`` of a missing field, if it is missing."""
        self._value(name)

    def _value(self, name: str) -> Any:
        if name not in self.values:
            have = ", ".join(map(str, self.values)) or "none"
            raise self.error(f"is missing; the row's fields are: {have}", name)
        return self.values[name]

    def _text(self, value: Any, name: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(f"expected a text, got {type(value).__name__}", name)
        return value
