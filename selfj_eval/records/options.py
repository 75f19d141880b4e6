"""Options of how a file of records is read."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import ClassVar

from selfj_eval.jobs.options import Options, option

PLAIN = "records"
"""The layout of files whose rows are records as they are."""
LAST, ALL = "last", "all"


@dataclass(frozen=True, kw_only=True)
class ScaleOptions(Options):
    """What the ratings in a file mean."""

    group_title: ClassVar[str] = "scale of the ratings"

    scale: tuple[float, float] | None = option(
        None,
        "lowest and highest possible rating, such as 1 5, for rows that do not have them "
        "(rating_min, rating_max)",
        placeholder="END",
    )
    missing_rating: str | float | None = option(
        None, 'a value that means "no rating", such as -1 or N/A', placeholder="VALUE"
    )

    @property
    def changes_ratings(self) -> bool:
        """Whether ratings may become others."""
        return self.scale is not None or self.missing_rating is not None

    def check(self) -> None:
        """Refuse a scale whose ends are the wrong way round."""
        ends = self.scale
        self.need(ends is None or ends[0] < ends[1], "scale", "is the lower end, then the higher")


@dataclass(frozen=True, kw_only=True)
class ReadOptions(ScaleOptions):
    """How a file of records is read."""

    group_title: ClassVar[str] = "how the file is read"

    fields: dict[str, str] = option(
        {},
        "read the field FIELD of a record from the field NAME of the file; write A.B for a field "
        "B inside A; may be repeated",
        placeholder="FIELD=NAME",
    )
    encoding: str | None = option(
        None,
        "encoding of a text file that is not UTF-8, such as cp1252 (Excel's plain CSV)",
        placeholder="NAME",
    )

    layout: str | None = option(
        None,
        "layout of the file, if it is not recognised by its fields: chat, trl, mt-bench, inspect, "
        "... (docs/layouts.md), or records if the rows are already records",
        placeholder="NAME",
    )
    turns: str = option(
        LAST,
        "which answers of a conversation to judge: the last one, or all, with the ids ID-1, "
        "ID-2, ...",
        (LAST, ALL),
    )

    def check(self) -> None:
        """Refuse an encoding that does not exist."""
        super().check()
        if self.encoding is not None:
            self.need(_is_of_text(self.encoding), "encoding", "must be one that Python knows")


def _is_of_text(encoding: str) -> bool:
    try:
        codecs.lookup(encoding)
        return isinstance("".encode(encoding), bytes)
    except (LookupError, ValueError):  # rot13 and the like are no encodings of text
        return False
