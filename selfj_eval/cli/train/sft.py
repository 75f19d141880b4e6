"""``selfj train sft``: instruction tuning."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.train.finishing import train_and_note
from selfj_eval.terminal import say
from selfj_eval.training.config import add_config_options, given, load_config

_EXAMPLES = """examples:
  selfj train sft --config configs/sft-llama-2-13b.yaml --base ./llama-2-13b
  selfj train sft --base ./my-base --train answers.jsonl --output my-adapter --batch-size 4
  selfj generate questions.jsonl --model ./my-base --adapter my-adapter --output answers.json

A row has an instruction and an output (or response). The loss is on the answer and its end alone.
Rows longer than max_tokens are left out and counted. Checkpoints are kept in OUTPUT.checkpoints
until the model is finished: after an interruption run the same command again.
OUTPUT/training.json tells how it was made; selfj merge puts an adapter into its base.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    from selfj_eval.training.sft import SftConfig

    parser = subparsers.add_parser(
        "sft",
        help="instruction-tune a model",
        description="Instruction-tune a model on instructions with answers, resumably.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_options(parser, SftConfig)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    from selfj_eval.training.sft import SftConfig, train_sft

    config = load_config(SftConfig, options.config, given(options, SftConfig))
    result = train_and_note("sft", config, train_sft, options, ("train", "validation"))
    if result is None:
        return 0
    say(f"{config.output}: {result['steps']:,} steps, {result['seconds']:,.0f} s, loss "
          f"{result['loss']:.3f}")  # fmt: skip
    for name, counts in result["data"].items():
        say(f"  {name:<11} {counts['used']:,} of {counts['rows']:,} rows used, "
              f"{counts['too_long']:,} too long")  # fmt: skip
    if "loss" in result["metrics"]:
        say(f"  validation  loss {result['metrics']['loss']:.3f}")
    return 0
