"""``selfj view``: a page on which scored answers are read."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.workbench.view import ViewOptions, view_scores

_EXAMPLES = """examples:
  selfj view scores.jsonl
  selfj view judge.jsonl other-judge.jsonl --port 9000
  selfj view model-a.jsonl model-b.jsonl --ratings ratings.csv

This machine serves the page. It needs no network and changes no file; Ctrl-C stops it. The
command needs the extra `web`, and for figures `report` (pip install "selfj-eval[web,report]").
Exit status: 0; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "view",
        run,
        description="Search, sort and read scored answers on a page in the browser.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("scores", nargs="+", metavar="SCORES", help="scored answers, any files")
    add_flags(parser, ViewOptions)


def run(arguments: argparse.Namespace) -> int:
    """Serve the page."""
    options = options_from(arguments, ViewOptions, progress=watch)
    show(view_scores(arguments.scores, options), arguments)
    return 0
