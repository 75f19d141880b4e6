"""``selfj alpaca``: AlpacaEval with a local judge."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

_COMMANDS = ("config", "evaluate", "rank", "table", "run")
_EPILOG = """examples:
  selfj alpaca config --judge demo --output annotator    # then: alpaca_eval --annotators_config ...
  selfj alpaca evaluate results/*/model_outputs.json --judge oceanpty/Self-J --output board
  selfj alpaca rank --judge length --output ranking
  selfj alpaca table

The 805 instructions, both baselines and what length control needs come from `selfj data get
alpaca_eval` (docs/alpaca.md).
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand with its own subcommands."""
    parser = subparsers.add_parser(
        "alpaca",
        help="AlpacaEval with a local judge: annotator, win rates, ranking, the paper's table",
        description="AlpacaEval with a local judge.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="alpaca_command", required=True, metavar="COMMAND")
    for name in _COMMANDS:
        importlib.import_module(f"selfj_eval.cli.alpaca.{name}").add_parser(commands)
