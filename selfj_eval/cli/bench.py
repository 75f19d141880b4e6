"""``selfj bench``: the correlation table, raters by answering models on sets of rated answers."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from selfj_eval.benchmarking.bench import BenchOptions, bench_raters
from selfj_eval.cli.command import add_command, print_notices, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.jobs.terminal import say

_EXAMPLES = """examples:
  selfj bench --judge length,tfidf,cosine --data arena_bench --output table
  selfj bench --judge demo,cosine,demo+cosine --data arena_bench,mtbench --output table
  selfj bench --judge ppl,vro,self-eval,cosine,self-eval+cosine --data answers.jsonl \\
      --answering my-7b=./my-7b --output table
  selfj bench --raters raters.yaml --judge gpt-4,ultrarm-13b --data arena_bench --output table
  selfj bench --robust --judge demo,cosine --data arena_bench --output robust
  selfj bench --pairs --pairwise pairwise --raters raters.yaml --judge chat-judge,length \\
      --data llmbar,judgebench --output pairs

Raters (docs/bench.md):
  length, log-length        number of characters of the answer: a baseline
  trigrams, tfidf, cosine[:MODEL]
                            similarity of answer and reference, by characters, words or sentence
                            embeddings
  ppl[:MODEL], log-ppl      perplexity of the answer given the instruction
  vro[:MODEL]               similarity of the answer to other answers that the model samples
  self-eval[:MODEL]         the model as judge of its answers, with and without reference
  reward:MODEL              a reward model (sequence classifier with one output)
  small, demo, a folder, a GGUF file, a hub id
                            a Self-J judge, with and without reference
  small-ref                 the sum of small and trigrams on fixed scales
  a+b, 2*a+b                a sum of raters; all parts are brought to one scale first
  a name from --raters FILE any rater with options, such as a judge on a server (generative)
Without :MODEL, ppl, vro and self-eval use the model that answered: --answering NAME=MODEL.

The command writes to DIR: table.md, table.csv, table.tex, table.html (extra: report), bench.json,
and a scores file for every row (scores/SET/RATER.*.parquet, for `selfj eval` and `selfj report`).
Finished work is kept in DIR/*.store. After an interruption, run the same command again. You may add
raters and sets.
Exit status: 0 when every answer has a score, 1 when some have none, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "bench",
        run,
        description="Make the correlation table: how well raters agree with ratings, by answering "
        "model.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="SETS",
        help="sets of judge_bench, such as arena_bench, or files of rated answers (of pairs with "
        "--pairs), on this machine or hf://datasets/...; separated by commas",
    )
    add_flags(parser, BenchOptions, renamed={"judge": ["--judges"]}, commas=("models",))


def run(arguments: argparse.Namespace) -> int:
    """Rate and tabulate; returns the exit status."""
    options = options_from(arguments, BenchOptions, progress=watch)
    sets = dict.fromkeys(part.strip() for part in arguments.data.split(",") if part.strip())
    result = bench_raters(list(sets), options)
    for path, sentences in result.notices.items():
        print_notices(path, sentences)
    for reason in getattr(result, "left_out", ()):
        say(f"note: {reason}", file=sys.stderr)
    show(result, arguments)
    return 0 if result.complete else 1
