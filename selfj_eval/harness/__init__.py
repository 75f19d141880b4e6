"""The adapter for lm-eval. The YAML files in ``tasks/`` name what is exported here.

What needs lm-eval and datasets is loaded at its first use: ``installation`` has to work where they
do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfj_eval.prompts.labels import DIGITS

if TYPE_CHECKING:
    from selfj_eval.harness.aggregate import (
        corpus_acc23,
        corpus_augrc,
        corpus_aurc,
        corpus_auroc,
        corpus_ece,
        corpus_kendall_tau_b,
        corpus_pearson,
        corpus_prr,
        corpus_spearman,
        count,
        mean_of_scored,
        pair_accuracy,
        pair_accuracy_with_ties,
    )
    from selfj_eval.harness.documents import (
        demo_answers,
        demo_instructions,
        judge_bench_pairs,
        judge_bench_records,
    )
    from selfj_eval.harness.gen_task import GenTask
    from selfj_eval.harness.judge_task import JudgeTask
    from selfj_eval.harness.pair_task import PairTask
    from selfj_eval.harness.robust_task import RobustTask

_HOMES = {
    "GenTask": "gen_task",
    "JudgeTask": "judge_task",
    "PairTask": "pair_task",
    "RobustTask": "robust_task",
    "corpus_acc23": "aggregate",
    "corpus_augrc": "aggregate",
    "corpus_aurc": "aggregate",
    "corpus_auroc": "aggregate",
    "corpus_ece": "aggregate",
    "corpus_kendall_tau_b": "aggregate",
    "corpus_pearson": "aggregate",
    "corpus_prr": "aggregate",
    "corpus_spearman": "aggregate",
    "count": "aggregate",
    "demo_answers": "documents",
    "demo_instructions": "documents",
    "judge_bench_pairs": "documents",
    "judge_bench_records": "documents",
    "mean_of_scored": "aggregate",
    "pair_accuracy": "aggregate",
    "pair_accuracy_with_ties": "aggregate",
}


def digit_choices(_: object) -> list[str]:
    """The ten answers a judge can give."""
    return list(DIGITS)


def results_by_class(_doc: object, _results: object) -> dict[str, object]:
    """Stands in the YAML so that lm-eval looks no metric up; the task class overrides it."""
    raise NotImplementedError("the task's class computes the results")


__all__ = [
    "GenTask",
    "JudgeTask",
    "PairTask",
    "RobustTask",
    "corpus_acc23",
    "corpus_augrc",
    "corpus_aurc",
    "corpus_auroc",
    "corpus_ece",
    "corpus_kendall_tau_b",
    "corpus_pearson",
    "corpus_prr",
    "corpus_spearman",
    "count",
    "demo_answers",
    "demo_instructions",
    "digit_choices",
    "judge_bench_pairs",
    "judge_bench_records",
    "mean_of_scored",
    "pair_accuracy",
    "pair_accuracy_with_ties",
    "results_by_class",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
