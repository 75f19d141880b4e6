"""What a reader has recognised, changed or ignored in a file: said once, with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from selfj_eval.errors import some

_NAMES = 20  # of ignored fields that are listed


def on_nothing(what: str, left_out: Iterable[str]) -> str:
    """The message where nothing is left to read.

    Args:
        what: The fact, such as ``holds no records``.
        left_out: What was left out, as ``Notices.why_left_out`` says it.
    """
    return f"{'; '.join([what, *left_out])}."


class Notices:
    """Collects what the owner of a file should know of how it was read.

    Attributes:
        ignored: Fields of the file that nothing reads, in the order they were met.
    """

    def __init__(self) -> None:
        self.ignored: dict[str, None] = {}
        self._said: dict[str, None] = {}
        self._counts: Counter[tuple[str, str | None]] = Counter()
        self._left_out: dict[str, tuple[int, str]] = {}

    def say(self, sentence: str) -> None:
        """Note a fact about the whole file."""
        self._said[sentence] = None

    def count(self, what: str, more: str | None = None) -> None:
        """Note a fact about one row or value: what there is; the sentence says how often.

        Args:
            what: What there is; with ``more`` the whole sentence where it occurs once.
            more: The sentence where it occurs several times; ``{}`` stands for the number.
        """
        self._counts[what, more] += 1

    def leave_out(self, place: str, why: str) -> None:
        """Note a row, or a part of one, that gives no record, and why."""
        number, first = self._left_out.get(why, (0, place))
        self._left_out[why] = (number + 1, first)

    def forget(self, what: str) -> None:
        """Take back what was counted."""
        self._counts.pop((what, None), None)

    def ignore(self, names: Iterable[str]) -> None:
        """Note fields that nothing reads."""
        self.ignored |= dict.fromkeys(names)

    def why_left_out(self) -> list[str]:
        """What was left out, one sentence a reason."""
        found = []
        for why, (number, first) in self._left_out.items():
            where = f"first {first}" if number > 1 else first
            found.append(f"skipped, {why}: {number:,} ({where})")
        return found

    def sentences(self) -> list[str]:
        """All that was noted, one sentence a fact."""
        found = [*self._said]
        for (what, more), number in self._counts.items():
            if more is None:
                found.append(f"{what}: {number:,}")
            else:
                found.append(what if number == 1 else more.format(f"{number:,}"))
        found += self.why_left_out()
        if self.ignored:
            names = [str(name) for name in self.ignored]
            found.append(f"ignored: {some(names, _NAMES)}")
        return found
