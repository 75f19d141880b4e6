"""The answers that a report shows: the worst disagreements, and the lowest scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from selfj_eval.evaluation.worst import WorstOptions, worst_answers
from selfj_eval.judging.scored import Scored, Scores, same_answer
from selfj_eval.reports.texts import label, visible

WORST = 5
"""Answers shown at each end: judged far too well, and far too badly."""
LOWEST = 10
"""Unrated answers shown."""
TEXT_LIMITS = {"instruction": 600, "response": 1000, "reference": 600}
"""Characters shown at once."""
EXPANDED = 5000
"""Characters of a text that can be expanded, with those shown at once."""


@dataclass(frozen=True)
class Text:
    """A text as the page shows it.

    Attributes:
        name: The field.
        text: Its beginning.
        more: What follows when it is expanded.
        expands: Characters of the text that ``more`` stands for.
        cut: Characters after that, which are not in the page.
    """

    name: str
    text: str
    more: str
    expands: int
    cut: int


@dataclass(frozen=True)
class ShownAnswer:
    """An answer as the page shows it; the score is not None."""

    id: str
    model: str | None
    category: str | None
    score: float
    rating: float | None
    texts: Sequence[Text]


@dataclass(frozen=True)
class Disagreement:
    """An answer with its ranks by score and by rating, in [0, 1].

    Attributes:
        answer: The answer.
        by_score, by_rating: Its ranks.
        others: Scores of the same answer by the other judges of the page, by their names.
    """

    answer: ShownAnswer
    by_score: float
    by_rating: float
    others: Mapping[str, float]


@dataclass(frozen=True)
class Lowest:
    """The unrated answers with the lowest scores, the lowest first.

    Attributes:
        answers: Up to ``LOWEST``.
        of: How many unrated answers have a score.
        unscored: How many have none.
    """

    answers: Sequence[ShownAnswer]
    of: int
    unscored: int


def disagreements(
    name: str, judges: Sequence[tuple[str, Scores]], texts: bool
) -> dict[str, list[Disagreement]]:
    """The answers whose rank by score is farthest from their rank by rating, at both ends.

    Args:
        name: Which judge's.
        judges: Name and scores of each judge of the page.
        texts: Whether the page shows texts.
    """
    from scipy.stats import rankdata

    rated = dict(judges)[name].rated
    theirs = {n: {a.id: a for a in s.answers} for n, s in judges if n != name}
    if len(rated) < 2:
        return {"high": [], "low": []}
    by_score = (rankdata([a.score for a in rated]) - 1) / (len(rated) - 1)
    by_rating = (rankdata([a.rating for a in rated]) - 1) / (len(rated) - 1)
    gap = by_score - by_rating
    # Equal gaps in the order of ids, so that the page does not depend on the order of the file.
    order = sorted(range(len(rated)), key=lambda k: (gap[k], rated[k].id))
    ends = {
        "high": [k for k in reversed(order) if gap[k] > 0][:WORST],
        "low": [k for k in order if gap[k] < 0][:WORST],
    }
    return {
        end: [
            Disagreement(
                *(_shown(rated[k], texts, 0), float(by_score[k]), float(by_rating[k])),
                _others(rated[k], theirs),
            )
            for k in rows
        ]
        for end, rows in ends.items()
    }


def _others(answer: Scored, theirs: Mapping[str, Mapping[str, Scored]]) -> dict[str, float]:
    """What other judges say of the same answer."""
    found = {name: scored.get(answer.id) for name, scored in theirs.items()}
    return {
        name: other.score
        for name, other in found.items()
        if other is not None and other.score is not None and same_answer(answer, other)
    }


def lowest(scores: Scores, texts: bool) -> Lowest | None:
    """The unrated answers with the lowest scores; None where every scored answer is rated.

    Args:
        scores: A judge's.
        texts: Whether the page shows texts.
    """
    unrated = [a for a in scores.answers if a.rating is None]
    if all(a.score is None for a in unrated):
        return None
    found = worst_answers(replace(scores, answers=unrated), WorstOptions(n=LOWEST))
    listed = [_shown(a, texts, EXPANDED) for a in found.listed]
    return Lowest(listed, found.answers, found.missing)


def _shown(answer: Scored, with_texts: bool, expanded: int) -> ShownAnswer:
    """``expanded`` is how many characters of a text can be read in all; 0 for its limit."""
    texts = []
    for name, limit in TEXT_LIMITS.items():
        text = getattr(answer, "question" if name == "instruction" else name)
        if with_texts and text is not None:
            beginning, _ = visible(text, limit)
            more, cut = visible(text[limit:], max(0, expanded - limit))
            texts.append(Text(name, beginning, more, len(text[limit:]) - cut, cut))
    facts = (answer.id, answer.model, answer.category)
    own, model, category = (None if v is None else label(v, 60) for v in facts)
    return ShownAnswer(own or "", model, category, answer.score or 0.0, answer.rating, texts)
