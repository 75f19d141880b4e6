"""``selfj label``: from instructions with references, or answers, to labelled training data."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, print_notices, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.training.settings import LabelOptions

_EXAMPLES = """examples:
  selfj label questions.jsonl --model ./my-model --n 2 --output pairs \\
      --embedder sentence-transformers/all-MiniLM-L6-v2
  selfj label answers.jsonl --judge ./my-model --source self-eval --output pairs
  selfj label rated.jsonl --source rating --output pairs

INPUT holds answers (rows as selfj score reads them), which are labelled, or instructions without
responses, which the model answers first. All rows need a reference, except with --source rating.

--source says what the label is computed from:
  self-j     z1 + z2, as in the paper
  self-eval  z1: the expected score, divided by 9, that the model itself (or --judge) gives when it
             sees the reference
  cosine     z2: the cosine similarity of answer and reference
  rating     the rating in the row
Each measure is rescaled to 0..1 (--scale). The measures are added (--weights), and the sum is
divided into ten labels (--bins). All of this is fitted on the training part and kept in
OUTPUT.rule.json. The validation part shares no instruction with the training part.

The command writes OUTPUT.ref.jsonl and OUTPUT.noref.jsonl, which selfj train judge reads, and the
same for OUTPUT.validation; OUTPUT.labels.jsonl (all labelled answers, readable as records);
OUTPUT.rule.json and OUTPUT.run.json. Answers and judgments are kept beside them (OUTPUT.store.*).
After an interruption, run the same command again. Empty and unscored answers get no label. They are
counted, and OUTPUT.run.json names them.
Exit status: 0 when every answer has a label, 1 when some have none, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "label",
        run,
        description="Make labelled training data for a judge, from instructions or answers.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "input", metavar="INPUT", help="answers or instructions: .jsonl, .json, .csv or .parquet"
    )
    add_flags(parser, LabelOptions)


def run(arguments: argparse.Namespace) -> int:
    """Label; returns the exit status."""
    from selfj_eval.training.labelling.label import label_answers

    result = label_answers(arguments.input, options_from(arguments, LabelOptions, progress=watch))
    print_notices(arguments.input, result.notices)
    show(result, arguments)
    return 1 if result.left_out else 0
