"""``selfj completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command
from selfj_eval.jobs.terminal import say

_SHELLS = ("bash", "zsh", "fish", "tcsh")
_EXAMPLES = """examples:
  selfj completion bash > ~/.local/share/bash-completion/completions/selfj
  selfj completion zsh > ~/.zfunc/_selfj        # a folder of your fpath
  selfj completion fish > ~/.config/fish/completions/selfj.fish

Open a new shell afterwards. After an update of selfj-eval, print the script again.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "completion",
        run,
        description="Print a script that completes commands and options in your shell.",
        epilog=_EXAMPLES,
        json=False,
    )
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from selfj_eval.cli import all_commands, parser_of

    say(shtab.complete(parser_of(all_commands()), shell=arguments.shell))
    return 0
