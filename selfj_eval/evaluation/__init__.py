"""Everything there is to say about one judge on one set of rated answers, ready for JSON."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from selfj_eval import __version__, metrics
from selfj_eval.arguments import expect
from selfj_eval.evaluation import agreement, selection
from selfj_eval.evaluation.columns import Columns, plain
from selfj_eval.metrics import GOOD_AT
from selfj_eval.metrics.bootstrap import RESAMPLES, evaluations
from selfj_eval.scores import Scores, groups

KIND = "selfj-evaluation"
FEWEST_UNITS = 30
"""Of answers or instructions: with fewer, a reader is told that intervals are rough."""


@dataclass(frozen=True)
class Settings:
    """What changes the numbers.

    Attributes:
        good_at: An answer is good when its rating, put on 0..9, is at least this.
        confidence: Level of all intervals, in (0, 1).
        resamples: Bootstrap resamples.
        seed: Of the bootstrap.
    """

    good_at: float = GOOD_AT
    confidence: float = 0.95
    resamples: int = RESAMPLES
    seed: int = 0


def work(scores: Scores, settings: Settings) -> int:
    """How many steps ``evaluate`` reports to ``progress``."""
    rated = scores.rated
    return evaluations(len(rated), groups(rated), settings.resamples)


def evaluate(
    scores: Scores,
    settings: Settings | None = None,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Evaluate one judge.

    Args:
        scores: Scored answers, of which some have ratings.
        settings: What changes the numbers.
        progress: Told how many bootstrap evaluations are done.

    Returns:
        A document of plain dicts, lists, texts, numbers and None; docs/evaluation.md describes
        its fields. Metrics are ``{"value", "n", "undefined"}``, with ``"low"``, ``"high"`` and
        ``"method"`` where they have an interval. No NaN anywhere.
    """
    expect(scores, Scores, "evaluate()", "selfj_eval.scores.read_scores")
    settings = settings or Settings()
    data = Columns.of(scores.rated, settings.good_at)
    bootstrapped: dict[str, Any] = {
        "group": data.group,
        "resamples": settings.resamples,
        "confidence": settings.confidence,
        "seed": settings.seed,
    }
    headline = metrics.headline_intervals(
        data.score, data.rating, data.good, **bootstrapped, progress=progress
    )
    by_category = agreement.by(data, "category", settings.confidence)
    by_model = agreement.by(data, "model", settings.confidence)
    return {
        "kind": KIND,
        "judge": scores.name,
        "counts": _counts(scores, data),
        "warnings": [*scores.warnings, *warnings_on(scores, data)],
        "settings": vars(settings)
        | {
            "good_at_scale": "0 to 9" if data.scaled else "the ratings' own scale",
            "resampled": "records" if data.group is None else "instructions",
        },
        "headline": {name: plain(m) for name, m in headline._asdict().items()},
        "correlation": agreement.correlation(data, settings.confidence),
        "pairwise": agreement.pairwise(data, bootstrapped),
        "by_category": by_category,
        "by_model": by_model,
        "mean_over_categories": agreement.mean_over(by_category),
        "mean_over_models": agreement.mean_over(by_model),
        "models": agreement.models(data, bootstrapped),
        "selective": selection.selective(data),
        "calibration": selection.calibration(data),
        "length": agreement.length(data, settings.confidence),
        "distribution": selection.distribution(data),
        "provenance": provenance(scores),
    }


def provenance(scores: Scores) -> dict[str, Any]:
    """Where the numbers come from: files, how the scores were made, versions here."""
    names = ("numpy", "scipy", "scikit-learn")
    return {
        "scores": scores.path,
        "scores_sha256": scores.sha256,
        "ratings": scores.ratings,
        "run": dict(scores.run) or None,
        "versions": {"selfj-eval": __version__, "python": platform.python_version()}
        | {name: version(name) for name in names},
    }


def _counts(scores: Scores, data: Columns) -> dict[str, int]:
    scored = sum(a.score is not None for a in scores.answers)
    return {
        "records": len(scores.answers),
        "scored": scored,
        "unscored": len(scores.answers) - scored,
        "rated": sum(a.rating is not None for a in scores.answers),
        "used": len(data.answers),
        "good": int(data.good.sum()),
        "instructions": 0 if data.group is None else len(np.unique(data.group)),
    }


def warnings_on(scores: Scores, data: Columns) -> list[str]:
    """What a reader of numbers on these answers has to know, as sentences."""
    found = []
    n = len(scores.answers)
    unscored = [a for a in scores.answers if a.score is None]
    if unscored:
        reason = f"{unscored[0].id}: {unscored[0].error}"
        found.append(f"{len(unscored)} of {n} answers are unscored and left out; first {reason}")
    unrated = sum(a.rating is None for a in scores.answers)
    if unrated and scores.ratings is None:
        hint = "" if unrated < n else "; give them with --ratings FILE"
        found.append(f"{unrated} of {n} answers have no rating{hint}")
    if (None, None) in data.scales:
        found.append(
            "the scale of the ratings is not known (rating_min, rating_max): --good-at is compared "
            "with the ratings as they are"
        )
    if len(data.scales) > 1:
        how = "were put on 0 to 9" if data.scaled else "are taken as they are: give them one scale"
        found.append(f"the ratings have {len(data.scales)} different scales and {how}")
    return [*found, *few_units(data)]


def few_units(data: Columns) -> list[str]:
    """A warning where the bootstrap has little to draw from."""
    drawn, unit = len(data.answers), "answers"
    if data.group is not None:
        drawn, unit = len(np.unique(data.group)), "instructions"
    if not 0 < drawn < FEWEST_UNITS:
        return []
    return [f"only {drawn} {unit}: intervals are rough, or missing"]
