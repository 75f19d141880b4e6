"""``selfj path``: where things that come with the package lie."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command
from selfj_eval.jobs.terminal import say

_EXAMPLES = """example:
  lm_eval --model hf --model_args pretrained=$(selfj path judge) --tasks selfj
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "path",
        run,
        description="Print the folder of the demo judge, or of the lm-eval task files.",
        epilog=_EXAMPLES,
        json=False,
    )
    parser.add_argument(
        "what",
        choices=["judge", "tasks"],
        help="the demo judge, or the lm-eval task files",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the path; returns the exit status."""
    from selfj_eval.demo import JUDGE_DIR
    from selfj_eval.harness.installation import tasks_folder

    say(JUDGE_DIR if arguments.what == "judge" else tasks_folder())
    return 0
