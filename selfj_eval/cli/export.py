"""``selfj export``: results in the community's formats."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.publishing.export import export_result
from selfj_eval.publishing.options import ExportOptions

_EXAMPLES = """examples:
  selfj export scores.jsonl --format eval-results --output export --model me/my-model \\
    --dataset owner/benchmark --task default
  selfj export scores.jsonl --format every-eval-ever --output export --model me/my-model \\
    --dataset owner/benchmark --organization "My lab" --relationship first_party
  selfj eval scores.jsonl --json > evaluation.json
  selfj export evaluation.json --format eval-results --metric spearman --output export \\
    --model me/my-judge --dataset owner/ratings --task default

RESULT is a scores file with the answers of one model, or the output of `selfj eval --json`. From a
scores file, the model's mean score is exported; from an evaluation, the judge's metrics. This
command sends nothing over the network. docs/export.md explains more. Exit status: 0, or 2 for wrong
input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "export",
        run,
        description="Write a result as .eval_results (hub) or Every Eval Ever.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("result", metavar="RESULT", help="scored answers, or an evaluation")
    add_flags(parser, ExportOptions)


def run(arguments: argparse.Namespace) -> int:
    """Write the files."""
    show(export_result(arguments.result, options_from(arguments, ExportOptions)), arguments)
    return 0
