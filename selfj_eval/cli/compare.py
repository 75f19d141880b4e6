"""``selfj compare``: two judges on the same answers, or answering models."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.evaluation.compare_options import CompareOptions

_EXAMPLES = """examples:
  selfj compare with-reference.jsonl without-reference.jsonl
  selfj compare mine.parquet theirs.csv --ratings gpt4.jsonl --json
  selfj compare my-7b.scores.jsonl my-13b.scores.jsonl
  selfj compare all-models.scores.jsonl --by rating
  selfj compare my-7b.jsonl my-13b.jsonl --judge small

Two judges: records are matched by id. Only records that both judges scored and that have a rating
are compared. Both judges are measured on the same bootstrap resamples, so what they have in common
cancels: the interval of the difference is narrower than the two separate intervals suggest.
Models: with one file, or two files of answers by different models to the same instructions, mean
scores are compared by instruction, with p-values adjusted for all pairs of models.
Exit status: 0; 1 if --judge left answers unscored; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "compare",
        run,
        description="Compare two judges on the same answers, or answering models on the same "
        "instructions.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("first", metavar="A", help="scored answers; with --judge, answers")
    parser.add_argument(
        "second",
        metavar="B",
        nargs="?",
        help="scores of the same answers by another judge, or of another model's answers; with "
        "--judge, another model's answers (then A and B are one file each)",
    )
    add_flags(parser, CompareOptions)


def run(arguments: argparse.Namespace) -> int:
    """Compare."""
    from selfj_eval.evaluation.compare import compare_scores
    from selfj_eval.evaluation.model_comparison import ModelComparison

    options = options_from(arguments, CompareOptions, progress=watch)
    result = compare_scores(arguments.first, arguments.second, options)
    show(result, arguments)
    judged = options.judge is not None
    return 1 if judged and isinstance(result, ModelComparison) and result.missing else 0
