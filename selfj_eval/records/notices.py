"""What a reader has recognised, changed or ignored in a file: said once, with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from selfj_eval.errors import some

_NAMES = 20  # of ignored fields that are listed


class Notices:
    """Collects what the owner of a file should know of how it was read.

    Attributes:
        ignored: Fields of the file that nothing reads, in the order they were met.
    """

    def __init__(self) -> None:
        self.ignored: dict[str, None] = {}
        self._said: dict[str, None] = {}
        self._counts: Counter[str] = Counter()

    def say(self, sentence: str) -> None:
        """Note a fact about the whole file."""
        self._said[sentence] = None

    def count(self, what: str) -> None:
        """Note a fact about one row or value: what there is; the sentence says how often."""
        self._counts[what] += 1

    def forget(self, what: str) -> None:
        """Take back what was counted."""
        self._counts.pop(what, None)

    def ignore(self, names: Iterable[str]) -> None:
        """Note fields that nothing reads."""
        self.ignored |= dict.fromkeys(names)

    def sentences(self) -> list[str]:
        """All that was noted, one sentence a fact."""
        found = [*self._said, *(f"{what}: {count:,}" for what, count in self._counts.items())]
        if self.ignored:
            names = [str(name) for name in self.ignored]
            found.append(f"ignored: {some(names, _NAMES)}")
        return found
