"""``selfj path``: where things that come with the package lie."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import selfj_eval
from selfj_eval.errors import SelfJError
from selfj_eval.terminal import say


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "path",
        help="print where the embedded judge or the lm-eval tasks lie",
        epilog="example: lm_eval --model hf --model_args pretrained=$(selfj path judge) "
        "--tasks selfj",
    )
    parser.add_argument(
        "what", choices=["judge", "tasks"], help="the demo judge, or the lm-eval task files"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the path; returns the exit status."""
    from selfj_eval.demo import JUDGE_DIR

    say(JUDGE_DIR if options.what == "judge" else tasks_folder())
    return 0


def tasks_folder() -> Path:
    """The folder with the lm-eval task files: in the package, or beside it in a checkout.

    Raises:
        SelfJError: If the installation is damaged.
    """
    package = Path(selfj_eval.__file__).parent
    for folder in (package / "tasks", package.parent / "tasks"):
        if (folder / "demo" / "selfj.yaml").is_file():
            return folder
    raise SelfJError(f"the task files are missing from {package}; install selfj-eval again.")
