"""A self-contained HTML report: no script, no network, every text from the data escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from selfj_eval import __version__, comparison, evaluation
from selfj_eval.arguments import items
from selfj_eval.errors import DataError
from selfj_eval.evaluation import Settings
from selfj_eval.metrics import LABELS, LOWER_IS_BETTER
from selfj_eval.report import figures
from selfj_eval.report.texts import label, visible
from selfj_eval.scores import Scored, Scores, distinct_names

WORST = 5
"""Answers shown at each end: judged far too well, and far too badly."""
TEXT_LIMITS = {"instruction": 600, "response": 1000, "reference": 600}
_ALL_PAIRS = 3


def work(judges: Iterable[Scores], settings: Settings) -> int:
    """How many steps ``report`` tells its ``progress``."""
    judges = items(judges, Scores, "work()")
    total = sum(evaluation.work(scores, settings) for scores in judges)
    return total + sum(comparison.work(a, b, settings) for a, b in _pairs(judges))


def report(
    judges: Iterable[Scores],
    settings: Settings | None = None,
    *,
    title: str = "Self-J evaluation",
    command: str | None = None,
    texts: bool = True,
    progress: Callable[[int], None] = lambda _: None,
) -> str:
    """One HTML page on one or more judges.

    Args:
        judges: Scored answers of each; best of the same records.
        settings: What changes the numbers.
        title: Of the page.
        command: What the page is made with, to be shown.
        texts: Show the texts of the worst disagreements.
        progress: Told how many bootstrap evaluations are done.

    Returns:
        The page. It holds no script and refers to nothing outside itself.

    Raises:
        DataError: If a file is given twice.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    judges = items(judges, Scores, "report()")
    settings = settings or Settings()
    names = distinct_names(judges)
    documents = [evaluation.evaluate(s, settings, progress=progress) for s in judges]
    environment = Environment(
        loader=PackageLoader("selfj_eval.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"label": label}
    rated = [(d, n) for d, n in zip(documents, names, strict=True) if d["counts"]["used"]]
    drawn: dict[str, Any] = {"risk": None, "forest": None, "reliability": {}, "distribution": {}}
    if rated:
        kept, kept_names = [d for d, _ in rated], [n for _, n in rated]
        drawn["risk"] = Markup(figures.risk_coverage(kept, kept_names))
        if figures.forest_groups(kept, "category"):
            drawn["forest"] = Markup(figures.forest(kept, kept_names))
        for document, name in rated:
            drawn["reliability"][name] = Markup(figures.reliability(document, name))
            drawn["distribution"][name] = Markup(figures.scores_by_rating(document, name))
    return environment.get_template("page.html").render(
        title=title,
        names=names,
        judges=list(zip(names, documents, strict=True)),
        settings=settings,
        figures=drawn,
        groups=figures.forest_groups(documents, "category"),
        model_rows=figures.forest_groups(documents, "model"),
        metric_names={n: t + (" ↓" if n in LOWER_IS_BETTER else "") for n, t in LABELS.items()},
        most_groups=figures.MOST_GROUPS,
        differences=_differences(judges, settings, progress),
        disagreements=[(n, _worst(s, texts)) for n, s in zip(names, judges, strict=True)],
        texts=texts,
        command=command,
        version=__version__,
    )


def _pairs(judges: Sequence[Scores]) -> list[tuple[Scores, Scores]]:
    """Every two of up to three judges; of more, each with the first."""
    if len(judges) <= _ALL_PAIRS:
        return list(combinations(judges, 2))
    return [(judges[0], other) for other in judges[1:]]


def _differences(
    judges: Sequence[Scores], settings: Settings, progress: Callable[[int], None]
) -> list[Mapping[str, Any]]:
    """The comparisons; where two judges cannot be compared, the reason."""
    names = dict(zip((s.path for s in judges), distinct_names(judges), strict=True))
    found: list[Mapping[str, Any]] = []
    for first, second in _pairs(judges):
        between: dict[str, Any] = {"first": names[first.path], "second": names[second.path]}
        try:
            document = comparison.compare(first, second, settings, progress=progress)
            found.append(between | {"document": document, "error": None})
        except DataError as error:
            found.append(between | {"document": None, "error": str(error)})
    return found


def _worst(scores: Scores, texts: bool) -> dict[str, list[dict[str, Any]]]:
    """The answers whose rank by score is farthest from their rank by rating, at both ends."""
    from scipy.stats import rankdata

    rated = scores.rated
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
        end: [_shown(rated[k], by_score[k], by_rating[k], texts) for k in rows]
        for end, rows in ends.items()
    }


def _shown(
    answer: Scored, by_score: np.float64, by_rating: np.float64, with_texts: bool
) -> dict[str, Any]:
    texts = []
    for name, limit in TEXT_LIMITS.items():
        text = getattr(answer, name) if with_texts else None
        if text is not None:
            shown, cut = visible(text, limit)
            texts.append({"name": name, "text": shown, "cut": cut})
    facts = {"id": answer.id, "model": answer.model, "category": answer.category}
    return {k: None if v is None else label(v, 60) for k, v in facts.items()} | {
        "score": answer.score,
        "rating": answer.rating,
        "by_score": float(by_score),
        "by_rating": float(by_rating),
        "texts": texts,
    }
