"""``selfj check``: whether scores keep requirements; the exit status is 1 if they do not."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.evaluation.check import CheckOptions, check_scores

_EXAMPLES = """examples:
  selfj check scores.jsonl --require "mean_score>=6" --require "share_at_least(4)>=0.9"
  selfj check scores.jsonl --require "spearman>=0.5" --ratings people.csv --junit check.xml
  selfj check new.jsonl --baseline old.jsonl --no-worse 0.2 --markdown check.md

METRIC is mean_score, share_at_least(SCORE), unscored (a share), or, if there are ratings, one of
selfj eval's: pearson, spearman, kendall_tau_b, acc23, auroc, augrc, aurc, prr, ece, or the path of
any other in its JSON, such as pairwise.same_instruction or by_model.my-7b.spearman.

A requirement holds if the end of the interval satisfies it: the lower end for >=, the upper end for
<=. With few answers, a requirement may therefore break that would hold with more; the output then
says about how many are needed. With --point, the value is compared instead. A metric that is
undefined or has no interval (ece never has one) breaks its requirement. Every answer must be
scored: --require "unscored<=0.02" allows 2 % of this file to be unscored. docs/check.md shows
pipelines and the pytest plugin.
Exit status: 0 if every requirement holds; 1 if one is broken; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "check",
        run,
        description="Check scores against requirements in a pipeline. If one is broken, the exit "
        "status is 1.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("scores", metavar="SCORES", help="scored answers")
    add_flags(parser, CheckOptions, repeated=("require",))


def run(arguments: argparse.Namespace) -> int:
    """Check the file."""
    options = options_from(arguments, CheckOptions, progress=watch)
    result = check_scores(arguments.scores, options)
    show(result, arguments)
    return 0 if result.holds else 1
