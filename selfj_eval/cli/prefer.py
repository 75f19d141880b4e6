"""``selfj prefer``: which of two answers a judge prefers."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.judging.prefer import PreferOptions, prefer_answers

_EXAMPLES = """examples:
  selfj prefer pairs.jsonl --judge small-base --output preferences.jsonl
  selfj prefer llmbar --judge small-base --pointwise chat --limit 300 --output llmbar.jsonl
  selfj prefer pairs.jsonl --judge ./my-model --template mine.yaml --output preferences.parquet

A pair has id, instruction (or messages), response_a, response_b and, if known, reference and label
(A, B or tie). You need not convert preference data of other programs (docs/layouts.md). PAIRS may
also be the name of a pair set of judge_bench.

Each pair is judged in both orders. The preference, from 0 (B) to 1 (A), is the mean of the two. If
the judgment in one order fails, the pair is unscored. Every finished judgment is kept in a store
beside the output. After an interruption, run the same command again.
Exit status: 0 when every pair was judged, 1 when some were not, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "prefer",
        run,
        description="Show which of two answers a judge prefers, asked in both orders.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("pairs", metavar="PAIRS", help="a file of pairs, or a set such as llmbar")
    add_flags(parser, PreferOptions, required=("output",))


def run(arguments: argparse.Namespace) -> int:
    """Compare the answers; returns the exit status."""
    result = prefer_answers(arguments.pairs, options_from(arguments, PreferOptions, progress=watch))
    show(result, arguments)
    return 1 if result.unscored else 0
