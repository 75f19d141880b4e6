"""Judge every rated set of judge_bench with one judge and print the tables of docs/results.md.

The numbers are those of the lm-eval tasks selfj_judge_* and selfj_pair_*: the same prompts, scores
and metrics. This way takes minutes where lm-eval's ten choices a prompt take an hour on a CPU.

example: SELFJ_DATA=DIR python benchmarks/judge_results.py --judge demo --store results.store
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from selfj_eval import Judge, Judgment, JudgmentStore, Record, metrics, read_records
from selfj_eval.harness.data import data_file, judge_bench_pairs
from selfj_eval.metrics import Metric
from selfj_eval.records import rescaled

LABELS = {"A": 1, "tie": 0, "B": -1}


def main() -> None:
    """Parse arguments, judge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--judge", required=True)
    parser.add_argument("--store", required=True, type=Path, help="keeps judgments, to resume")
    options = parser.parse_args()
    folder = data_file("judge_bench/pointwise_mtbench.parquet").parent
    with JudgmentStore(options.store) as store:
        judges = {
            shown: Judge.load(options.judge, reference=shown, store=store)
            for shown in (True, False)
        }
        print("| set | reference | n | pearson | spearman | tau-b | auroc | score | unscored |")
        print("| --- | --- |" + " ---: |" * 7)
        for file in sorted(folder.glob("pointwise_*.parquet")):
            records = read_records(file)
            some = any(record.reference for record in records)
            for shown in (True, False) if some else (False,):
                judgments = judges[shown].judge(records)
                cells = pointwise(records, judgments)
                used = sum(judgment.reference_used for judgment in judgments)
                share = "no" if not used else "yes" if used == len(records) else f"{used} of them"
                row(file.stem.removeprefix("pointwise_"), share, str(len(records)), *cells)
        print("\n| pairs | n | accuracy | with ties | unscored |\n| --- |" + " ---: |" * 4)
        for file in sorted(folder.glob("pairwise_*.parquet")):
            row(file.stem.removeprefix("pairwise_"), *pairwise(file.stem, judges[True]))


def row(*cells: str) -> None:
    """Print one line of a table as soon as it is known."""
    print(f"| {' | '.join(cells)} |", flush=True)
    print(f"{cells[0]} done", file=sys.stderr, flush=True)


def number(metric: Metric) -> str:
    """A metric as text; an undefined one is a dash."""
    return "-" if metric.value is None else f"{metric.value:.3f}"


def pointwise(records: Sequence[Record], judgments: Sequence[Judgment]) -> list[str]:
    """Correlations with the ratings, mean score, number unscored."""
    scored = [(j.score, r) for j, r in zip(judgments, records, strict=True) if j.score is not None]
    rated = [
        (score, r.rating, rescaled(r.rating, r.rating_min, r.rating_max) >= metrics.GOOD_AT)
        for score, r in scored
        if r.rating is not None
    ]
    numbers = metrics.headline(*zip(*rated, strict=True))
    cells = [
        number(m) for m in (numbers.pearson, numbers.spearman, numbers.kendall_tau_b, numbers.auroc)
    ]
    cells += [f"{sum(score for score, _ in scored) / len(scored):.2f}"]
    return [*cells, str(len(records) - len(scored))]


def pairwise(source: str, judge: Judge) -> list[str]:
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
