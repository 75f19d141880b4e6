"""``selfj compare``: two judges on the same records."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.evaluation.options import CompareOptions

_EXAMPLES = """examples:
  selfj compare with-reference.jsonl without-reference.jsonl
  selfj compare mine.parquet theirs.csv --ratings gpt4.jsonl --json

Records are matched by id. Only records that both judges scored and that have a rating are compared.
Both judges are measured on the same bootstrap resamples, so what they have in common cancels: the
interval of the difference is narrower than the two separate intervals suggest.
Exit status: 0, or 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "compare",
        run,
        description="Show every headline metric of two judges on the same records, and the "
        "difference.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("first", metavar="A", help="scored answers of the first judge")
    parser.add_argument("second", metavar="B", help="scored answers of the second judge")
    add_flags(parser, CompareOptions)


def run(arguments: argparse.Namespace) -> int:
    """Compare the two files."""
    from selfj_eval.evaluation.compare import compare_judges

    options = options_from(arguments, CompareOptions, progress=watch)
    show(compare_judges(arguments.first, arguments.second, options), arguments)
    return 0
