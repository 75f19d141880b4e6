"""Judge every set of labelled pairs of judge_bench and print the table of docs/results.md.

The numbers are those of the lm-eval tasks selfj_pair_*: the same prompts, scores and metrics.
This way takes minutes where lm-eval's ten choices a prompt take far longer on a CPU.

example: python benchmarks/pair_results.py --judge demo --store results.store
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from selfj_eval import Judge, JudgmentStore, Record, metrics
from selfj_eval.harness.documents import judge_bench_pairs
from selfj_eval.metrics import Metric
from selfj_eval.registry.folder import data_file

LABELS = {"A": 1, "tie": 0, "B": -1}


def main() -> None:
    """Parse arguments, judge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--judge", required=True)
    parser.add_argument("--store", required=True, type=Path, help="keeps judgments, to resume")
    options = parser.parse_args()
    folder = data_file("judge_bench", "pairwise_llmbar.parquet").parent
    with JudgmentStore(options.store) as store:
        judge = Judge.load(options.judge, store=store)
        print("| pairs | n | accuracy | with ties | unscored |\n| --- |" + " ---: |" * 4)
        for file in sorted(folder.glob("pairwise_*.parquet")):
            cells = [file.stem.removeprefix("pairwise_"), *results(file.stem, judge)]
            print(f"| {' | '.join(cells)} |", flush=True)
            print(f"{cells[0]} done", file=sys.stderr, flush=True)


def number(metric: Metric) -> str:
    """A metric as text; an undefined one is a dash."""
    return "-" if metric.value is None else f"{metric.value:.3f}"


def results(source: str, judge: Judge) -> list[str]:
    """Accuracy on labelled pairs, number of pairs unscored."""
    docs = list(judge_bench_pairs(selfj_source=source)["test"])
    sides = [
        judge.judge(
            [
                Record(doc["id"], doc["instruction"], doc[f"response_{side}"], doc["reference"])
                for doc in docs
            ]
        )
        for side in "ab"
    ]
    scored = [
        (a.score, b.score, LABELS[doc["label"]])
        for a, b, doc in zip(*sides, docs, strict=True)
        if a.score is not None and b.score is not None
    ]
    accuracy = metrics.preference_accuracy(*zip(*scored, strict=True))
    cells = [number(accuracy.decided), number(accuracy.with_ties)]
    return [str(len(docs)), *cells, str(len(docs) - len(scored))]


if __name__ == "__main__":
    main()
