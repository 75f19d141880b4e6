"""``selfj audit``: whether a policy's promise still holds."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.evaluation.audit import AuditOptions, audit_policy

_EXAMPLES = """examples:
  selfj audit policy.json labels.jsonl
  selfj audit policy.json new.scores.jsonl --ratings this-week.csv

Rate some of the answers that the policy accepts, in the order in which they arrive. Run this
command as often as you like, with all labels so far or only the new ones. While the promise holds,
the probability that it is ever refuted is at most 1 - CONFIDENCE.

Each instruction counts once, with the ratings that LABELS has for it at that time, weighted by the
share of its answers that are accepted. LABELS must therefore contain all answers to an instruction,
even the declined and the unrated ones. Add an instruction only when its ratings are complete.
Choose instructions at random and rate all their accepted answers, or rate every accepted answer
with the same probability. If the probabilities differ, put them in the field "inclusion", and give
the smallest possible one as --least-inclusion.
Exit status: 0; 1 when the promise is refuted; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "audit",
        run,
        description="Test whether a policy's promise still holds on newly rated answers, and "
        "whether their scores and lengths have drifted.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("policy", metavar="POLICY", help="policy that `selfj select` wrote")
    parser.add_argument("labels", metavar="LABELS", help="scored answers with ratings")
    add_flags(parser, AuditOptions)


def run(arguments: argparse.Namespace) -> int:
    """Audit the policy."""
    options = options_from(arguments, AuditOptions)
    result = audit_policy(arguments.policy, arguments.labels, options)
    show(result, arguments)
    return int(result.refuted)
