"""``selfj best-of``: keep the best of several answers to each instruction."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, print_notices, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.judging.best_of import BestOfOptions, best_of_answers

_EXAMPLES = """examples:
  selfj best-of candidates.jsonl --judge demo --output best.json
  selfj best-of model_outputs.json --judge oceanpty/Self-J --n 32 --output best.json
  selfj best-of candidates.scores.jsonl --n 8 --output best.json --curve curve.csv

CANDIDATES has several records with the same instruction, or rows whose `output` or `response` is
a list of answers. Of the first N answers to each instruction, the command keeps the one with the
highest score, or the first of these if several tie. The output is AlpacaEval's model_outputs JSON.

The curve says what to expect from the best of 1, 2, 4, ... N answers: the mean over all ways to
draw that many answers from all scored ones, not only from the first N. Check the length, too: a
judge that prefers long answers chooses them.

Every finished judgment is kept in a store beside the output (OUTPUT.store). After an interruption,
run the same command again.
Exit status: 0; 1 when some answers were unscored (they are never kept); 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "best-of",
        run,
        description="Best of n: keep the answer to each instruction that a judge scores highest.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "candidates", metavar="CANDIDATES", help="answers: .jsonl, .json, .csv or .parquet"
    )
    add_flags(parser, BestOfOptions, required=("output",))


def run(arguments: argparse.Namespace) -> int:
    """Keep the best; returns the exit status."""
    options = options_from(arguments, BestOfOptions, progress=watch)
    result = best_of_answers(arguments.candidates, options)
    print_notices(arguments.candidates, result.notices)
    show(result, arguments)
    return 1 if result.errors else 0
