"""``selfj alpaca rank``: the stored models ranked, and agreement with GPT-4's rankings."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.alpaca.ranking import RankOptions, rank_models
from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from

_EPILOG = """examples:
  selfj alpaca rank --judge length --output ranking
  selfj alpaca rank --judge length --judge oceanpty/Self-J --output ranking
  selfj alpaca rank --judge oceanpty/Self-J --instructions 50 --output ranking
  selfj alpaca rank --judge trigrams --references v2 --output ranking

The command scores the stored outputs of all models (182 x 805) and of both baselines. It ranks the
models by mean score and by win rate, and compares these rankings with GPT-4's AlpacaEval 1 and 2
rankings, raw and length-controlled. It reports Spearman, Kendall's tau-b and rank-biased overlap
with bootstrap intervals over instructions, for the models of the first AlpacaEval 2 leaderboard
("release") and for all models. `length` is a baseline: the longer answer is better. Judgments are
kept in DIR/judgments.store. After an interruption, run the same command again.
Exit status: 0, 1 when answers were unscored, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "rank",
        run,
        help="rank AlpacaEval's stored models, and compare with GPT-4's rankings",
        description="Rank AlpacaEval's stored models and compare the ranking with GPT-4's.",
        epilog=_EPILOG,
    )
    add_flags(parser, RankOptions, renamed={"judge": ["--scorer"]})


def run(arguments: argparse.Namespace) -> int:
    """Rank with each judge; returns the exit status."""
    result = rank_models(options_from(arguments, RankOptions, progress=watch))
    show(result, arguments)
    return 1 if result.unscored else 0
