"""What both trainings do around their one call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, TypeVar

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, given
from selfj_eval.training.results import TrainingRun
from selfj_eval.training.settings import TrainingConfig

C = TypeVar("C", bound=TrainingConfig)


def add_training(
    subparsers: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    config: type[TrainingConfig],
    **texts: str,
) -> None:
    """A subcommand with the settings of a training."""
    parser = add_command(
        subparsers,
        name,
        run,
        help=texts["help"],
        description=texts["description"],
        epilog=texts["epilog"],
    )
    add_flags(parser, config, config=True)


def trained(
    arguments: argparse.Namespace, config: type[C], train: Callable[[C], TrainingRun]
) -> int:
    """Train with the settings of the file and of the flags; returns the exit status."""
    settings = config.load(arguments.config, given(arguments, config))
    with redirect_stdout(sys.stderr):  # transformers writes its log there
        result = train(settings)
    if result.main_process:
        show(result, arguments)
    return 0
