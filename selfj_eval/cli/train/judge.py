"""``selfj train judge``: paired self-distillation."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.train.training import add_training, trained
from selfj_eval.training.settings import JudgeConfig

_EXAMPLES = """examples:
  selfj train judge --config configs/self-j-13b.yaml --base ./llama-2-13b
  selfj train judge --base ./my-model --train-ref pairs.ref.jsonl --train-noref pairs.noref.jsonl \\
      --output my-judge --batch-size 4 --gradient-accumulation 32
  selfj train judge --architecture encoder --base ./my-encoder --lora-r 0 --max-tokens 512 \\
      --train-ref pairs.ref.jsonl --train-noref pairs.noref.jsonl --output small-judge
  torchrun --nproc_per_node 2 -m selfj_eval train judge --config my.yaml

Settings come from the YAML file; flags override them. All data is checked before the model is
loaded. The loss is CE(with reference) + student_weight CE(without) + kl_weight KL (Self-J, arXiv
2409.00935, section 3), with both prompts of an answer in one batch.

Checkpoints are kept in OUTPUT.checkpoints until the judge is finished. After an interruption, run
the same command again: it gives the same weights as an uninterrupted run. OUTPUT/training.json has
the settings, the data, versions and metrics.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    add_training(
        subparsers,
        "judge",
        run,
        JudgeConfig,
        help="train a judge from paired labels",
        description="Train a judge by paired self-distillation.",
        epilog=_EXAMPLES,
    )


def run(arguments: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    from selfj_eval.training.judge import train_judge_model

    return trained(arguments, JudgeConfig, train_judge_model)
