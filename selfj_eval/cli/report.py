"""``selfj report``: one HTML page on one or more judges."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.reports.report import ReportOptions, report_scores

_EXAMPLES = """examples:
  selfj report scores.jsonl --output report.html
  selfj report mine.jsonl theirs.jsonl --ratings gpt4.csv --output report.html
  selfj audit policy.json new.jsonl --json > audit.json
  selfj report new.jsonl --results policy.json audit.json --output report.html

The page begins with a summary in words and a verdict: does the judge agree better with the ratings
than answer length and the words that answer and reference share? docs/evaluation.md has the rules.
The page is self-contained: it needs no script, no network and no other files. The command needs the
extra `report` (pip install "selfj-eval[report]").
Exit status: 0; 1 when a judge has no answer with a score and a rating; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "report",
        run,
        description="Write one self-contained HTML page about one or more judges.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "scores", nargs="+", metavar="SCORES", help="scored answers, one file per judge"
    )
    add_flags(parser, ReportOptions, required=("output",))


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    options = options_from(arguments, ReportOptions, progress=watch)
    result = report_scores(arguments.scores, options)
    show(result, arguments)
    return 1 if result.without_ratings else 0
