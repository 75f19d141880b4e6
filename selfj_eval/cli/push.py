"""``selfj push``: scores or a judge to the model hub."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.publishing.push import PushOptions, push_path

_EXAMPLES = """examples:
  selfj push scores.jsonl --to hf://datasets/me/my-scores/vicuna --dry-run
  selfj push my-judge/ --to hf://me/my-judge

A scores file is sent with its run file. From a judge's folder, only the files that make up the
judge are sent. Both are sent as one commit. --dry-run lists the files. Pickles are refused. The
token is that of huggingface_hub: HF_TOKEN, or `hf auth login`. docs/export.md explains more.
Exit status: 0; 2 for wrong input, or if the hub refuses the files.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "push",
        run,
        description="Send a scores file or a judge's folder to the model hub.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("path", metavar="PATH", help="a scores file, or a judge's folder")
    add_flags(parser, PushOptions)


def run(arguments: argparse.Namespace) -> int:
    """Send it."""
    show(push_path(arguments.path, options_from(arguments, PushOptions)), arguments)
    return 0
