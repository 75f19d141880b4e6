"""Pure functions, arrays in and typed results out. A value that does not exist has a reason."""

from selfj_eval.metrics.correlation import kendall_tau_b, pearson, spearman
from selfj_eval.metrics.pairwise import PreferenceAccuracy, preference_accuracy
from selfj_eval.metrics.result import Metric
from selfj_eval.metrics.selective import auroc

__all__ = [
    "Metric",
    "PreferenceAccuracy",
    "auroc",
    "kendall_tau_b",
    "pearson",
    "preference_accuracy",
    "spearman",
]
