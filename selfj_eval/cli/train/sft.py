"""``selfj train sft``: instruction tuning."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.train.training import add_training, trained
from selfj_eval.training.settings import SftConfig

_EXAMPLES = """examples:
  selfj train sft --config configs/sft-llama-2-13b.yaml --base ./llama-2-13b
  selfj train sft --base ./my-base --train answers.jsonl --output my-adapter --batch-size 4
  selfj generate questions.jsonl --model ./my-base --adapter my-adapter --output answers.json

A row has an instruction and an output (or response). Only the answer and its end count in the loss.
Rows longer than --max-tokens are skipped and counted. Checkpoints are kept in OUTPUT.checkpoints
until the model is finished. After an interruption, run the same command again.
OUTPUT/training.json says how the model was made. selfj merge merges an adapter into its base.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    add_training(
        subparsers,
        "sft",
        run,
        SftConfig,
        help="instruction-tune a model",
        description="Instruction-tune a model on instructions with answers.",
        epilog=_EXAMPLES,
    )


def run(arguments: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    from selfj_eval.training.sft import train_sft_model

    return trained(arguments, SftConfig, train_sft_model)
