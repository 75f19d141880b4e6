"""Limits of an instruction: what the filters of a collection are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selfj_eval.jobs.options import Options, option

_MOST = 1_000_000  # characters or tokens


@dataclass(frozen=True, kw_only=True)
class FilterOptions(Options):
    """The limits. A token is a run of letters, digits and underscores, or a punctuation mark.

    The lengths are set so that 99.2 % of 6,081 instructions of evaluation sets lie between them.
    A judge is trained on prompts of 1,024 tokens of a model, so that what is longer would be cut
    anyway. Formulas and code have more letters than ``min_letters``, tables of numbers and
    drawings have fewer.
    """

    group_title: ClassVar[str] = "limits of an instruction"

    min_tokens: int = option(3, "fewest words and punctuation marks", low=0, high=_MOST)
    max_tokens: int = option(1024, "most words and punctuation marks", low=0, high=_MOST)
    min_characters: int = option(10, "fewest characters", low=0, high=_MOST)
    max_characters: int = option(4000, "most characters", low=0, high=_MOST)
    min_letters: float = option(
        0.2, "smallest share of letters, of any script, among the visible characters", low=0, high=1
    )
    max_links: float = option(
        0.5, "largest share of the visible characters that are part of web addresses", low=0, high=1
    )
    language: str = option("en", "language to keep, ISO 639-1")

    def check(self) -> None:
        """Refuse limits that no text could meet."""
        for least, most in (("min_tokens", "max_tokens"), ("min_characters", "max_characters")):
            high = getattr(self, most)
            self.need(getattr(self, least) <= high, least, f"must be at most `{most}`, {high:,}")
