"""How far the width that `plan` expects is from that of `estimate`, on real ratings, as Markdown.

A draw takes as many instructions as the set has, with replacement and with all their answers. A
pilot says what width to expect of so many ratings; the interval of as many others is measured. The
score alone predicts the ratings.

examples:
  python benchmarks/planned_width.py
  python benchmarks/planned_width.py --sets mtbench --judges trigrams length --draws 200
"""

from __future__ import annotations

import argparse

import numpy as np
from coverage import Rated, rated, width

from selfj_eval.evaluation.planning import Units, expected_width, pilot_of
from selfj_eval.judging.scored import Scored
from selfj_eval.metrics.prediction_powered import powered_mean
from selfj_eval.metrics.result import Array
from selfj_eval.metrics.sampling import choose

SETS = ("arena_bench", "mtbench", "qlora_vicuna", "vicuna_blog")
CASES = ((30, 100), (30, 300), (100, 300))
"""Ratings of the pilot, and of all."""


def main() -> None:
    """Draw, and print a row per set, judge and case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--judges", nargs="+", default=["trigrams", "length"])
    parser.add_argument("--draws", type=int, default=60, help="default: %(default)s")
    options = parser.parse_args()
    print("| set | judge | pilot | ratings | per instruction | width | planned | sd of planned |")
    print("| --- | --- |" + " ---: |" * 6)
    for name in options.sets:
        for judge in options.judges:
            data = rated(name, "random", judge)
            for pilot, ratings in CASES:
                if ratings < len(data.rating):
                    cells = row(data, pilot, ratings, options.draws)
                    print(f"| {name} | {judge} | {pilot} | {ratings} | {cells} |", flush=True)


def row(data: Rated, pilot: int, ratings: int, draws: int) -> str:
    """Ratings per instruction, the mean width, and how far off the plan is, in percent."""
    members = [np.flatnonzero(data.group == g) for g in np.unique(data.group)]
    actual, planned = [], []
    for seed in range(draws):
        random = np.random.default_rng(seed)
        taken = [members[at] for at in random.integers(len(members), size=len(members))]
        index = np.concatenate(taken)
        group = np.repeat(np.arange(len(taken)), [len(own) for own in taken])
        score, truth = data.score[index], data.rating[index]

        def some(count: int, seed: int, truth: Array = truth, group: Array = group) -> Array:
            found = np.full(len(truth), np.nan)
            chosen = choose(count, size=np.ones(len(truth)), group=group, seed=seed).chosen
            found[chosen] = truth[chosen]
            return found

        actual.append(width(powered_mean(some(ratings, seed), score, group=group)))
        answers = [(Scored(str(at)),) for at in range(len(truth))]
        units = Units(answers, score, some(pilot, draws + seed), group)
        found = pilot_of(units)
        if found is not None:
            planned.append(expected_width(ratings, units, found.deviation, found.correlation, 0.95))
    ratio = np.array(planned) / np.mean(actual) - 1
    return (
        f"{ratings / len(members):.1f} | {np.mean(actual):.3f} | {100 * ratio.mean():+.0f} % | "
        f"{100 * ratio.std():.0f} %"
    )


if __name__ == "__main__":
    main()
