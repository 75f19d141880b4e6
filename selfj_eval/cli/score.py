"""``selfj score``: judge the answers in a file."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.jobs.terminal import say
from selfj_eval.judging.options import ScoreOptions
from selfj_eval.judging.score import score_answers

_EXAMPLES = """examples:
  selfj score answers.jsonl --judge demo
  selfj score answers.parquet --judge oceanpty/Self-J --output scores.parquet
  selfj score model_outputs.json --judge ./my-judge --adapter ./my-lora --no-reference
  selfj score answers.csv --judge demo --field instruction=prompt --field response=output
  selfj score results/model__name/ --judge demo
  selfj score ratings.csv --judge demo --scale 1 5 --encoding cp1252
  selfj score hf://datasets/OWNER/NAME/data/answers.parquet --judge demo
  selfj score "hf://datasets/OWNER/NAME?split=test" --judge demo
  selfj score answers/ --judge oceanpty/Self-J --engine vllm --output scores/
  selfj score answers/ --judge oceanpty/Self-J --engine ray --workers 8 --worker-gpus 1

A record has id, instruction, response and, if known, reference, rating, rating_min, rating_max,
model and category. You need not convert lm-eval's samples_*.jsonl or AlpacaEval's model_outputs
JSON. Files of other programs: docs/layouts.md.

Rows without ids get their positions, starting at 0. Text files may be compressed (.jsonl.gz,
.csv.zst). Several INPUTs are read one after the other and give one scores file. So does a folder of
lm-eval's logs or of other files. For a folder of Parquet files, each file gets a scores file of the
same name in the folder OUTPUT. Only JSON arrays are held in memory whole.

Every finished judgment is kept in a store beside the output (OUTPUT.store). After an interruption,
run the same command again: nothing finished is lost or computed twice.
Exit status: 0 when every record was judged, 1 when some were not, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "score",
        run,
        description="Judge the answers in a file: each gets a score, by a judge from 0 to 9.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="files of records (.jsonl, .json, .csv, .tsv, .txt or .parquet), a folder, or a "
        "file on the hub: hf://datasets/OWNER/NAME[@REVISION]/PATH; without PATH, the "
        "whole data set",
    )
    add_flags(parser, ScoreOptions)


def run(arguments: argparse.Namespace) -> int:
    """Judge the file or the folder; returns the exit status."""
    options = options_from(arguments, ScoreOptions, progress=watch)
    result = score_answers(arguments.input, options)
    show(result, arguments)
    if result.rated and result.scored and not arguments.json:
        say(f"  {result.rated:,} records have a rating: selfj eval {result.output}")
    return 0 if result.unscored == 0 else 1
