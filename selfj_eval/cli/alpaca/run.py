"""``selfj alpaca run``: a row of the table from a model's folder, all the way."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from selfj_eval.alpaca.filling import RunOptions, RunStep, run_row
from selfj_eval.cli.command import add_command, watch
from selfj_eval.cli.flags import add_flags, arguments_of, options_from, parsed_flags
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.generation.generate import GenerateOptions
from selfj_eval.jobs.terminal import say

_EPILOG = """examples:
  selfj alpaca run llama-2-13b-87k --model ./llama-2-13b --adapter ./my-lora --gpt4 --output runs
  selfj alpaca run llama-2-13b-87k --model ./mine --judge oceanpty/Self-J --output runs \\
      --generate="--engine vllm --max-new-tokens 2048"
  selfj alpaca run wizardlm-13b-best-of-32 --model ./wizardlm --judge oceanpty/Self-J --gpt4 \\
      --output runs
  selfj alpaca table --results runs

The model answers AlpacaEval's 805 instructions (selfj generate). If the row takes the best of n,
the judge chooses it (selfj best-of). The answers are then compared with both baselines: by the
judge (selfj alpaca evaluate), and with --gpt4 by AlpacaEval's own GPT-4 annotators. These ask
OpenAI, or the server that OPENAI_BASE_URL names, with the key in OPENAI_API_KEY. They make 805
requests per version of AlpacaEval, which cost money. All steps keep what is finished. After an
interruption, run the same command again.
Exit status: 0, 1 when answers are missing or unscored, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "run",
        run,
        help="fill a row of the table: generate answers, annotate, compute win rates",
        description="Fill a row of the table from a model's folder: generate, choose, annotate.",
        epilog=_EPILOG,
        json=False,
    )
    parser.add_argument(
        "row",
        metavar="ROW",
        help="name of a row that has `run` in the manifest, such as llama-2-13b-87k",
    )
    add_flags(parser, RunOptions, skip=("judge_options", "generate_options"))
    parser.add_argument(
        "--judge-options",
        default="",
        metavar="=OPTIONS",
        help="how the judge runs, as for selfj score: --judge-options='--adapter DIR'",
    )
    parser.add_argument(
        "--generate",
        dest="generate_options",
        default="",
        metavar="=OPTIONS",
        help="more options for selfj generate",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the steps; returns the exit status."""
    arguments.judge_options = parsed_flags("--judge-options", arguments.judge_options, JudgeOptions)
    arguments.generate_options = parsed_flags(
        "--generate", arguments.generate_options, GenerateOptions
    )
    options = options_from(arguments, RunOptions, progress=watch, report=_report)
    result = run_row(arguments.row, options)
    say(f"{result.closing}: selfj alpaca table --results {shlex.quote(arguments.output)}")
    return 0 if result.complete else 1


def _report(step: RunStep) -> None:
    """Show a step where it begins, and what came of it."""
    if step.result is not None:
        say(step.result)
    elif step.options is None:
        say(step.name)
    else:
        words = [*step.name.split(), step.input, *arguments_of(step.options)]
        say(f"$ selfj {shlex.join(words)}")
