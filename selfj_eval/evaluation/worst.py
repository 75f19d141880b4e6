"""The verb `worst`: the answers with the lowest scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, counted, shown
from selfj_eval.jobs.options import keywords, option
from selfj_eval.jobs.results import Result
from selfj_eval.judging.scored import Scored, as_scores
from selfj_eval.records.options import ScaleOptions

if TYPE_CHECKING:
    from selfj_eval.judging.scored import ScoresLike

_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class WorstOptions(ScaleOptions):
    """How many answers are listed, and of which."""

    n: int = option(20, "how many answers", low=1)
    model: str | None = option(None, "only answers by this model", placeholder="NAME")
    category: str | None = option(None, "only answers of this category", placeholder="NAME")
    by: str = option("score", "the lowest scores or the lowest ratings", ("score", "rating"))


@dataclass(frozen=True)
class Worst(Result):
    """The answers with the lowest scores or ratings, the lowest first.

    Attributes:
        judge: Whose scores they are.
        by: ``score`` or ``rating``.
        answers: Answers to choose from that have one.
        missing: Answers without, which are skipped: unscored or unrated ones.
        listed: The answers.
    """

    judge: str
    by: str
    answers: int
    missing: int
    listed: Sequence[Scored] = field(repr=False)

    def rows(self) -> list[dict[str, Any]]:
        """One row per answer, as in a scores file, without the fields that are not known."""
        return [{k: v for k, v in a.row().items() if v is not None} for a in self.listed]

    def to_dict(self) -> dict[str, Any]:
        """The summary and the answers, as the JSON that the command prints."""
        counts = {name: getattr(self, name) for name in ("judge", "by", "answers", "missing")}
        return counts | {"listed": self.rows()}

    def __str__(self) -> str:
        skipped = ""
        if self.missing:
            what = "unscored" if self.by == "score" else "unrated"
            some = counted(self.missing, f"{what} answer is", f"{what} answers are")
            skipped = f"; {some} skipped"
        n = f"{len(self.listed):,} " if len(self.listed) > 1 else ""
        lines = [
            f"{shown(self.judge)}: the {n}lowest of {counted(self.answers, 'answer')} by "
            f"{self.by}{skipped}"
        ]
        for a in self.listed:
            about = [] if a.score is None else [f"score {a.score:.2f}"]
            if a.rating is not None:
                about.append(f"rating {_rating(a, self.by)}")
            about += [shown(x) for x in (a.model, a.category) if x is not None]
            lines.append(f"\n{shown(a.id)}: {', '.join(about)}")
            for name, text in (("question", a.question), ("answer", a.response)):
                if text is not None:
                    lines.append(f"  {name:<8}  {_first(text)}")
        return "\n".join(lines)


def worst_answers(scores: ScoresLike, options: WorstOptions) -> Worst:
    """List the answers with the lowest scores, whether they are rated or not.

    Args:
        scores: Scored answers, as for ``evaluate``.

    Raises:
        DataError: If they cannot be read, or no answer is left.
    """
    read = as_scores(scores, scale=options)
    chosen = [
        a for a in read.answers
        if options.model in (None, a.model) and options.category in (None, a.category)
    ]  # fmt: skip
    known = [(value, a) for a in chosen if (value := _value(a, options.by)) is not None]
    if not known:
        where = [f"{name} {value!r}" for name, value in
                 (("model", options.model), ("category", options.category)) if value]  # fmt: skip
        of = f" of {' and '.join(where)}" if where else ""
        raise DataError(f"no answer{of} has a {options.by}.", path=read.path, field=options.by)
    known.sort(key=lambda pair: (pair[0], pair[1].id))
    return Worst(
        judge=read.name,
        by=options.by,
        answers=len(known),
        missing=len(chosen) - len(known),
        listed=[a for _, a in known[: options.n]],
    )


worst = keywords(worst_answers, WorstOptions)


def _value(answer: Scored, by: str) -> float | None:
    return answer.score if by == "score" else answer.quality


def _rating(answer: Scored, by: str) -> str:
    """The rating as given; as it was sorted by, if it was."""
    if by == "score" or None in (answer.rating_min, answer.rating_max):
        return f"{answer.rating:.2f}"
    return f"{answer.quality:.2f} of 9"


def _first(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return shown(line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…")
