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
category (or dataset); or the word alpaca_eval: AlpacaEval's 805 instructions. The output is, by
the end of its name,
  .json                    AlpacaEval's model_outputs: dataset, instruction, output, generator
  .jsonl, .csv, .parquet   records that selfj score reads: id (ID-0, ID-1, ... with --n), ...

Prompt forms: chat is the tokenizer's chat template; wizardlm is the instruction, an empty line and
"### Response:", which Self-J's models were trained with; plain is the instruction alone. auto takes
the form that selfj train sft noted beside the model, else chat where there is a template, else
wizardlm.

Every finished batch is kept in a store beside the output (OUTPUT.store). After an interruption run
the same command again: it gives the answers that an undisturbed run gives, sampled ones too. An
instruction that gets no answer (its prompt is too long) has no row in the output; it is counted,
and OUTPUT.run.json names it.
Exit status: 0 when every instruction was answered, 1 when some were not or all answers are empty,
2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "generate",
        run,
        description="Have a model answer the instructions in a file, resumably.",
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
