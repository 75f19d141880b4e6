"""``selfj eval``: how well scores agree with ratings, and what they are worth."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.evaluation.options import EvaluateOptions

_EXAMPLES = """examples:
  selfj eval scores.jsonl
  selfj eval scores.jsonl --ratings gpt4.csv --good-at 7
  selfj eval scores.parquet --json > evaluation.json
  selfj eval scores.jsonl --csv evaluation.csv

SCORES is a file that `selfj score` wrote, any .jsonl, .json, .csv or .parquet with id and score, or
lm-eval's samples_*.jsonl of a selfj_judge_* task. The ratings are in it or in --ratings FILE.
Unscored answers are excluded and counted. Intervals of the headline metrics are bootstrapped over
instructions (over records if texts are missing). docs/evaluation.md explains every number.
Exit status: 0; 1 when no answer has a score and a rating; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "eval",
        run,
        description="Measure how well scores agree with ratings, and how useful they are for "
        "declining poor answers.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("scores", metavar="SCORES", help="scored answers")
    add_flags(parser, EvaluateOptions)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate the file."""
    from selfj_eval.evaluation.evaluate import evaluate_scores

    options = options_from(arguments, EvaluateOptions, progress=watch)
    result = evaluate_scores(arguments.scores, options)
    show(result, arguments)
    return 0 if result.counts.used else 1
