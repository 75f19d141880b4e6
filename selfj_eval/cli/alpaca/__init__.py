"""``selfj alpaca``: AlpacaEval with a local judge."""

from __future__ import annotations

from typing import Any

from selfj_eval.cli.command import add_group

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
    add_group(
        subparsers,
        "alpaca",
        _COMMANDS,
        description="AlpacaEval with a local judge.",
        epilog=_EPILOG,
    )
