"""selfj-eval: judge language-model answers with Self-J (arXiv 2409.00935).

``import selfj_eval`` is light: what needs numpy or torch is loaded at its first use.
"""

from __future__ import annotations

# Type checkers take it for true. The real one needs typing, which takes three times as long as all
# else here, and while this is imported Ctrl-C cannot be caught.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from selfj_eval import alpaca
    from selfj_eval import collection as collect
    from selfj_eval import registry as data
    from selfj_eval.benchmarking.bench import bench
    from selfj_eval.benchmarking.result import Bench
    from selfj_eval.demo.ladder import ladder
    from selfj_eval.errors import DataError, JudgeError, SelfJError, StoreError
    from selfj_eval.evaluation.audit import Audit, audit
    from selfj_eval.evaluation.check import check
    from selfj_eval.evaluation.checked import Check
    from selfj_eval.evaluation.compare import compare
    from selfj_eval.evaluation.estimate import estimate
    from selfj_eval.evaluation.estimation import Estimation
    from selfj_eval.evaluation.evaluate import evaluate
    from selfj_eval.evaluation.leaderboard import Leaderboard, leaderboard
    from selfj_eval.evaluation.plan import plan
    from selfj_eval.evaluation.planned import Plan
    from selfj_eval.evaluation.policy import Policy
    from selfj_eval.evaluation.result import Comparison, Evaluation
    from selfj_eval.evaluation.select import select
    from selfj_eval.evaluation.selection import Decisions, Selection
    from selfj_eval.evaluation.worst import Worst, worst
    from selfj_eval.generation.generate import GenerateRun, generate
    from selfj_eval.jobs.options import OptionError
    from selfj_eval.jobs.progress import Step
    from selfj_eval.judging.best_of import BestOf, best_of
    from selfj_eval.judging.prefer import prefer
    from selfj_eval.judging.preferences import Preferences
    from selfj_eval.judging.score import ScoreRun, score
    from selfj_eval.publishing.export import export
    from selfj_eval.publishing.push import push
    from selfj_eval.raters.judge import Judge
    from selfj_eval.raters.pair_judge import PairJudge
    from selfj_eval.raters.protocol import Rater
    from selfj_eval.records.pairs import Pair, PairJudgment
    from selfj_eval.records.reading import read_records
    from selfj_eval.records.record import Judgment, Record
    from selfj_eval.records.writing import write_judgments, write_records
    from selfj_eval.reports.report import Report, report
    from selfj_eval.serving.serve import Served, serve
    from selfj_eval.storage.store import JudgmentStore
    from selfj_eval.training.judge import train_judge
    from selfj_eval.training.labelling.label import label
    from selfj_eval.training.merge import merge
    from selfj_eval.training.sft import train_sft
    from selfj_eval.workbench.rate import RatingRun, rate
    from selfj_eval.workbench.view import View, view

__version__ = "0.1.0"

_HOMES = {
    "Audit": "evaluation.audit",
    "Bench": "benchmarking.result",
    "BestOf": "judging.best_of",
    "Check": "evaluation.checked",
    "Comparison": "evaluation.result",
    "DataError": "errors",
    "Decisions": "evaluation.selection",
    "Estimation": "evaluation.estimation",
    "Evaluation": "evaluation.result",
    "GenerateRun": "generation.generate",
    "Judge": "raters.judge",
    "JudgeError": "errors",
    "Judgment": "records.record",
    "JudgmentStore": "storage.store",
    "Leaderboard": "evaluation.leaderboard",
    "OptionError": "jobs.options",
    "Pair": "records.pairs",
    "PairJudge": "raters.pair_judge",
    "PairJudgment": "records.pairs",
    "Plan": "evaluation.planned",
    "Policy": "evaluation.policy",
    "Preferences": "judging.preferences",
    "Rater": "raters.protocol",
    "RatingRun": "workbench.rate",
    "Record": "records.record",
    "Report": "reports.report",
    "ScoreRun": "judging.score",
    "Selection": "evaluation.selection",
    "SelfJError": "errors",
    "Served": "serving.serve",
    "Step": "jobs.progress",
    "StoreError": "errors",
    "View": "workbench.view",
    "Worst": "evaluation.worst",
    "audit": "evaluation.audit",
    "bench": "benchmarking.bench",
    "best_of": "judging.best_of",
    "check": "evaluation.check",
    "compare": "evaluation.compare",
    "estimate": "evaluation.estimate",
    "evaluate": "evaluation.evaluate",
    "export": "publishing.export",
    "generate": "generation.generate",
    "label": "training.labelling.label",
    "ladder": "demo.ladder",
    "leaderboard": "evaluation.leaderboard",
    "merge": "training.merge",
    "plan": "evaluation.plan",
    "prefer": "judging.prefer",
    "push": "publishing.push",
    "rate": "workbench.rate",
    "read_records": "records.reading",
    "report": "reports.report",
    "score": "judging.score",
    "select": "evaluation.select",
    "serve": "serving.serve",
    "train_judge": "training.judge",
    "train_sft": "training.sft",
    "view": "workbench.view",
    "worst": "evaluation.worst",
    "write_judgments": "records.writing",
    "write_records": "records.writing",
}
_NAMESPACES = {"alpaca": "alpaca", "collect": "collection", "data": "registry"}
"""Packages whose functions are called by another name than the package's own."""

__all__ = [
    "Audit",
    "Bench",
    "BestOf",
    "Check",
    "Comparison",
    "DataError",
    "Decisions",
    "Estimation",
    "Evaluation",
    "GenerateRun",
    "Judge",
    "JudgeError",
    "Judgment",
    "JudgmentStore",
    "Leaderboard",
    "OptionError",
    "Pair",
    "PairJudge",
    "PairJudgment",
    "Plan",
    "Policy",
    "Preferences",
    "Rater",
    "RatingRun",
    "Record",
    "Report",
    "ScoreRun",
    "Selection",
    "SelfJError",
    "Served",
    "Step",
    "StoreError",
    "View",
    "Worst",
    "alpaca",
    "audit",
    "bench",
    "best_of",
    "check",
    "collect",
    "compare",
    "data",
    "estimate",
    "evaluate",
    "export",
    "generate",
    "label",
    "ladder",
    "leaderboard",
    "merge",
    "plan",
    "prefer",
    "push",
    "rate",
    "read_records",
    "report",
    "score",
    "select",
    "serve",
    "train_judge",
    "train_sft",
    "view",
    "worst",
    "write_judgments",
    "write_records",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name in _NAMESPACES:
        return importlib.import_module(f"{__name__}.{_NAMESPACES[name]}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
