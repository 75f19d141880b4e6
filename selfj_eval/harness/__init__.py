"""The lm-eval edge. The YAML files in ``tasks/`` name what is exported here.

Only lm-eval imports this package: it pulls in lm-eval and datasets.
"""

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
from selfj_eval.prompts.labels import DIGITS


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
