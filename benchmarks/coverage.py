"""How often the intervals of `estimate` cover the truth, on real ratings, as Markdown.

All ratings of a set are the truth. A draw takes as many instructions as the set has, with
replacement and with all their answers, hides all ratings but those of some answers, chosen as
`plan` does it, and estimates the mean rating and the share of good answers. The score is the
similarity of answer and reference (trigrams), which costs nothing; for the active choice, the
uncertainty is that of the demo judge. The ratings are predicted by the score alone, or with
`--predictors auto` by the score, the answer's length and its model where that is better.

examples:
  python benchmarks/coverage.py
  python benchmarks/coverage.py --sets mtbench cherry --draws 200 --design active
  python benchmarks/coverage.py --predictors auto
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rated_sets import read_set

from selfj_eval import score
from selfj_eval.evaluation.options import GOOD_AT
from selfj_eval.evaluation.planning import sizes_of
from selfj_eval.evaluation.predictors import ENOUGH, from_columns
from selfj_eval.metrics.prediction_powered import Powered, powered_mean, powered_share
from selfj_eval.metrics.sampling import choose

SETS = (
    "arena_bench", "mtbench", "vicuna_blog", "qlora_vicuna", "llmbar_gpt4", "cherry",
    "shepherd_human", "roscoe_human",
)  # fmt: skip
LABELS = (50, 100, 300)
MANY = 20  # models, of which `estimate` takes none as a predictor


class Rated(NamedTuple):
    """A set as arrays of shape (n,); ``columns`` (n, q) are all predictors."""

    rating: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    uncertainty: npt.NDArray[np.float64]
    columns: npt.NDArray[np.float64]
    group: npt.NDArray[np.int64]


def main() -> None:
    """Draw, and print a row per set and number of labels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--draws", type=int, default=500, help="default: %(default)s")
    parser.add_argument("--design", choices=("random", "stratified", "active"), default="random")
    parser.add_argument("--predictors", choices=("score", "auto"), default="score")
    options = parser.parse_args()
    cells = ("covers", "width", "ratings alone")
    columns = [f"{what}: {cell}" for what in ("mean", "share") for cell in cells]
    print(f"| set | n | Pearson | ratings | {' | '.join(columns)} |")
    print("| --- |" + " ---: |" * 9)
    for name in options.sets:
        data = rated(name, options.design)
        r = np.corrcoef(data.score, data.rating)[0, 1]
        for labels in LABELS:
            if labels < len(data.rating):
                if options.predictors == "auto" and labels < ENOUGH:
                    continue  # there the score alone predicts
                cells = row(data, labels, options.design, options.draws, options.predictors)
                about = f"{name} | {len(data.rating):,} | {r:.2f} | {labels}"
                print(f"| {about} | {cells} |", flush=True)


def rated(name: str, design: str, judge: str = "trigrams") -> Rated:
    """The answers of a set that have a score."""
    records = [r for r in read_set(name) if r.reference is not None]
    scores = [j.score for j in score(records, judge=judge).judgments]
    spread = [1.0] * len(records)
    if design == "active":
        judged = score(records, judge="demo").judgments
        values = np.arange(10)
        for at, own in enumerate(judged):
            if own.probabilities is not None:
                p = np.array(own.probabilities)
                spread[at] = float(np.sqrt(p @ values**2 - (p @ values) ** 2))
    models = sorted({r.model for r in records if r.model is not None})
    indicators = models[1:] if len(models) < MANY else []
    kept = [at for at, value in enumerate(scores) if value is not None]
    texts = sorted({r.instruction for r in records})
    number = {text: at for at, text in enumerate(texts)}
    own_score = np.array([scores[at] or 0.0 for at in kept])
    lengths = np.log1p([len(records[at].response) for at in kept])
    by = [np.array([float(records[at].model == m) for at in kept]) for m in indicators]
    return Rated(
        np.array([records[at].rating or 0.0 for at in kept]),
        own_score,
        np.array([spread[at] for at in kept]),
        np.column_stack([own_score, lengths, *by]),
        np.array([number[records[at].instruction] for at in kept]),
    )


def row(data: Rated, labels: int, design: str, draws: int, predictors: str) -> str:
    """How often the intervals cover, and how wide they are."""
    truths = data.rating.mean(), (data.rating >= GOOD_AT).mean()
    members = [np.flatnonzero(data.group == g) for g in range(int(data.group.max()) + 1)]
    members = [m for m in members if len(m)]
    found: list[list[tuple[bool, float, float]]] = [[], []]
    for seed in range(draws):
        random = np.random.default_rng(seed)
        taken = [members[at] for at in random.integers(len(members), size=len(members))]
        index = np.concatenate(taken)
        group = np.repeat(np.arange(len(taken)), [len(own) for own in taken])
        sizes, stratum = sizes_of(design, data.score[index], data.uncertainty[index])
        sample = choose(
            min(labels, len(index)), size=sizes, group=group, stratum=stratum, seed=seed
        )
        rating = np.full(len(index), np.nan)
        rating[sample.chosen] = data.rating[index][sample.chosen]
        good = np.where(np.isnan(rating), np.nan, rating >= GOOD_AT)
        fitted = None
        if predictors == "auto":
            fitted = from_columns(data.columns[index], rating, group, predictors)
        prediction = data.score[index] if fitted is None else fitted
        given = {"group": group, "inclusion": np.maximum(sample.inclusion, 1e-9)}
        for place, (job, values) in enumerate(((powered_mean, rating), (powered_share, good))):
            both = [job(values, prediction, tuning=t, **given) for t in (None, 0.0)]
            found[place].append((covers(both[0], truths[place]), *map(width, both)))
    cells = []
    for own in found:
        share, wide, alone = np.mean(np.array(own, dtype=float), axis=0)
        cells.append(f"{100 * share:.1f} | {wide:.3f} | {alone:.3f}")
    return " | ".join(cells)


def covers(found: Powered, truth: float) -> bool:
    """Whether the interval holds the truth."""
    return found.interval is not None and found.interval.low <= truth <= found.interval.high


def width(found: Powered) -> float:
    """Of the interval."""
    return np.nan if found.interval is None else found.interval.high - found.interval.low


if __name__ == "__main__":
    main()
