"""``selfj alpaca evaluate``: win rates of one or hundreds of models."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.alpaca.win_rates import EvaluateOptions, evaluate_outputs
from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from

_EPILOG = """examples:
  selfj alpaca evaluate model_outputs.json --judge demo --output board
  selfj alpaca evaluate results/*/model_outputs.json --judge oceanpty/Self-J --baseline v1 \\
      --output board1
  selfj alpaca evaluate mine.json --judge demo --baseline theirs.json --output versus

Each file contains one model's outputs: rows with instruction, output and generator. Every answer,
including the baseline's, is judged once, and judgments are kept in DIR/judgments.store. When you
run the command again, with more files or after an interruption, only new answers are judged.
DIR/leaderboard.csv has AlpacaEval's columns; alpaca_eval reads it as --precomputed_leaderboard.
DIR/annotations/ has every comparison.
Exit status: 0; 1 when answers were unscored, missing or to unknown instructions; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "evaluate",
        run,
        help="compute win rates of models against a baseline; the judge is loaded once",
        description="Compute win rates of models against a baseline, in AlpacaEval's own columns.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "outputs",
        nargs="+",
        metavar="OUTPUTS",
        help=".json, .jsonl, .csv or .parquet, one per model",
    )
    add_flags(parser, EvaluateOptions)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate the models; returns the exit status."""
    options = options_from(arguments, EvaluateOptions, progress=watch)
    result = evaluate_outputs(arguments.outputs, options)
    show(result, arguments)
    return 0 if result.complete else 1
