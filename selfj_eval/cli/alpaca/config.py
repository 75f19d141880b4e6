"""``selfj alpaca config``: the annotator for the stock ``alpaca_eval`` command."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.alpaca.annotator import ConfigOptions, config_annotator
from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from

_EPILOG = """examples:
  selfj alpaca config --judge oceanpty/Self-J --output annotator
  selfj alpaca config --judge ./my-judge --adapter ./my-lora --temperature 0.5 --output annotator

The command writes configs.yaml, client.yaml and prompt.txt. It prints the alpaca_eval commands that
use them. If AlpacaEval's data are on your machine (selfj data get alpaca_eval), it also writes both
baselines and the files that length control needs, so that alpaca_eval needs no network. Judgments
are kept in the folder.
Exit status: 0, or 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "config",
        run,
        help="write the annotator's configuration for the stock alpaca_eval command",
        description="Write a configuration with which the unmodified alpaca_eval command uses a "
        "judge.",
        epilog=_EPILOG,
    )
    add_flags(parser, ConfigOptions)


def run(arguments: argparse.Namespace) -> int:
    """Write the configuration."""
    show(config_annotator(options_from(arguments, ConfigOptions)), arguments)
    return 0
