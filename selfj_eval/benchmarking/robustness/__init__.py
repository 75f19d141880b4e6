"""Does a rater's score go where an answer's quality does not?

``choosing`` takes records and other answers, ``attacks`` has the changes, ``change_numbers`` the
numbers of one, ``suite`` runs a rater on all of them, ``rendering`` shows what came out.
"""

from selfj_eval.benchmarking.robustness.attacks import CHANGES, Change, changed_records
from selfj_eval.benchmarking.robustness.result import KIND, Robustness
from selfj_eval.benchmarking.robustness.suite import robustness, work

__all__ = ["CHANGES", "KIND", "Change", "Robustness", "changed_records", "robustness", "work"]
