"""Train a judge on `small-base` from GPT-4's ratings, and measure it on unseen sources.

Ratings whose repositories state Apache-2.0 or MIT are in two halves. A judge that is trained on
one half scores the sets of the other, none of whose instructions it has seen; the sets that are
never trained on are scored by all judges. The run `all` trains on both halves.
Each recipe is trained in both ways, so that recipes are compared on the same unseen sources.

The run `all` also leaves the folder `shipped`: the adapter as it lies in this package, without the
model card.

Finished parts are kept in the work folder, and the same command goes on where it was ended. It
takes hours on a CPU.

examples:
  python benchmarks/small_judge.py --work work
  python benchmarks/small_judge.py --work work --recipes small --runs fold1 fold2
  python benchmarks/small_judge.py --work work --base ./SmolLM2-135M-Instruct
"""

from __future__ import annotations

import argparse
from pathlib import Path

from small_judge_data import RUNS, read_sets
from small_judge_recipes import RECIPES
from small_judge_runs import score, ship, train
from small_judge_tables import tables


def main() -> None:
    """Train, score, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="small-base", help="a folder works too")
    parser.add_argument("--work", type=Path, required=True, help="folder for judges and scores")
    parser.add_argument("--recipes", nargs="+", choices=sorted(RECIPES), default=["small"])
    parser.add_argument("--runs", nargs="+", choices=sorted(RUNS), default=list(RUNS))
    parser.add_argument("--embedder", help="sentence-transformers folder, for the cosine")
    parser.add_argument("--scored", type=int, default=150, help="answers of a set, at most")
    options = parser.parse_args()
    sets = read_sets()
    for recipe in options.recipes:
        for run in options.runs:
            judge = train(options.base, options.work, RECIPES[recipe], RUNS[run], sets)
            if RUNS[run].shipped:
                ship(judge)
            score(judge, options.base, RUNS[run], sets, options.scored)
    print(tables(options.work, options.recipes, sets, options.scored, options.embedder))


if __name__ == "__main__":
    main()
