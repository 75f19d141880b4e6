"""``selfj generate``: have a model answer instructions."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, print_notices, show, watch
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.generation.generate import GenerateOptions, generate_answers

_EXAMPLES = """examples:
  selfj generate alpaca_eval --model ./my-model --output my-model.json
  selfj generate questions.jsonl --model ./base --adapter ./my-lora --output answers.jsonl
  selfj generate questions.csv --model owner/name --n 8 --temperature 0.7 \\
      --output samples.parquet

INSTRUCTIONS is a file whose rows have an instruction and, if known, an id, a reference and a
category (or dataset). The word alpaca_eval means AlpacaEval's 805 instructions. The file name of
the output says what is written:
  .json                    AlpacaEval's model_outputs: dataset, instruction, output, generator
  .jsonl, .csv, .parquet   records that selfj score reads: id (ID-0, ID-1, ... with --n), ...

Prompt formats: chat is the tokenizer's chat template. wizardlm is the instruction, an empty line
and "### Response:"; Self-J's models were trained with it. plain is the instruction alone. auto uses
the format that selfj train sft recorded beside the model, or else chat if there is a template, or
else wizardlm.

Every finished batch is kept in a store beside the output (OUTPUT.store). After an interruption, run
the same command again: it gives the same answers as an uninterrupted run, even sampled ones. An
instruction whose prompt is too long gets no answer and has no row in the output. It is counted, and
OUTPUT.run.json names it.
Exit status: 0 when every instruction was answered, 1 when some were not or all answers are empty,
2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "generate",
        run,
        description="Have a model answer the instructions in a file.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "input", metavar="INSTRUCTIONS", help=".jsonl, .json, .csv, .parquet, or alpaca_eval"
    )
    add_flags(parser, GenerateOptions, required=("output",))


def run(arguments: argparse.Namespace) -> int:
    """Generate; returns the exit status."""
    options = options_from(arguments, GenerateOptions, progress=watch)
    result = generate_answers(arguments.input, options)
    print_notices(arguments.input, result.notices)
    show(result, arguments)
    return 1 if result.unanswered or result.nothing else 0
