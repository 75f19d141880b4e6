"""What the result of every job can do: print itself, become JSON, a table, a page."""

from __future__ import annotations

import html
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import shown

if TYPE_CHECKING:
    import pandas as pd

    from selfj_eval.jobs.options import PathLike


_ROW = re.compile(r"\S {2,}\S.*\S {2,}\S")
"""A line with three columns or more, which must not be wrapped."""


class Result(ABC):
    """Base of the typed results, which are frozen dataclasses.

    As text it is what the command shows on a terminal.
    """

    __slots__ = ()

    @abstractmethod
    def __str__(self) -> str: ...

    def __repr__(self) -> str:
        """The kind and the first line of what is printed; the whole is in ``to_dict``."""
        return f"<{type(self).__name__}: {str(self).strip().partition(chr(10))[0]}>"

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """The result as rows of one table, for ``to_frame``."""

    def to_dict(self) -> dict[str, Any]:
        """The result as the JSON that the command prints: no NaN, no objects."""
        return _by_field(self)

    def document(self) -> dict[str, Any] | list[dict[str, Any]]:
        """``to_dict()``, or where the command prints a list, that list."""
        return self.to_dict()

    def to_json(self, path: PathLike) -> None:
        """Write ``document()`` to a file.

        Raises:
            StoreError: If it cannot be written; then nothing is.
        """
        from selfj_eval.files.atomic import write_json

        write_json(str(path), self.document())

    def to_frame(self) -> pd.DataFrame:
        """The result as a pandas table."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        """What a notebook shows: the printed text, where sentences wrap and tables can be scrolled.

        Colours are the notebook's own, light or dark.
        """
        text = "\n".join(map(_html, str(self).split("\n")))
        return f'<pre style="white-space:pre-wrap;overflow-x:auto">{text}</pre>'


def _html(line: str) -> str:
    safe = html.escape(shown(line))
    return f'<span style="white-space:pre">{safe}</span>' if _ROW.search(line) else safe


def plain(value: Any) -> Any:
    """A typed result as plain dicts, lists, texts and numbers: fields become keys, in order.

    What has a ``to_dict`` of its own is asked for it.
    """
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, str | bytes) or value is None:
        return value
    if "to_dict" in type(value).__dict__:
        return value.to_dict()
    if hasattr(value, "_asdict"):  # a named tuple
        return {name: plain(item) for name, item in value._asdict().items()}
    if is_dataclass(value) and not isinstance(value, type):
        return _by_field(value)
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _by_field(value: Any) -> dict[str, Any]:
    return {f.name: plain(getattr(value, f.name)) for f in fields(value)}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns: the first to the left, the others to the right."""
    rows = [[shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def first_of(
    items: Sequence[str], limit: int = 10, rest: str = "", *, total: int | None = None
) -> list[str]:
    """Lines with the first items of a list, and one that says how many more there are.

    Args:
        items: The list, or its beginning.
        limit: How many are shown.
        rest: What follows the number of the others.
        total: How many there are, where ``items`` is only the beginning.
    """
    lines = [f"    {shown(item)}" for item in items[:limit]]
    if (others := (len(items) if total is None else total) - len(lines)) > 0:
        lines.append(f"    ... and {others:,} more{rest}")
    return lines
