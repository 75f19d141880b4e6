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

`selfj data get alpaca_eval` fetches the 805 instructions, both baselines and the files that length
control needs (docs/alpaca.md).
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand with its own subcommands."""
    add_group(
        subparsers,
        "alpaca",
        _COMMANDS,
        description="Run AlpacaEval with a judge on your own machine.",
        epilog=_EPILOG,
    )
