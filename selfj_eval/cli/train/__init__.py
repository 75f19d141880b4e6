"""``selfj train``: training of judges and of the models they judge."""

from __future__ import annotations

from typing import Any

from selfj_eval.cli.command import add_group

_COMMANDS = ("judge", "sft")
_EPILOG = """examples:
  selfj train judge --config configs/self-j-13b.yaml
  accelerate launch --config_file configs/accelerate/fsdp.yaml -m selfj_eval train judge \\
      --config configs/self-j-13b.yaml --quantization none --gradient-accumulation 1
  selfj train sft --config configs/sft-llama-2-13b.yaml

docs/training.md explains the whole process.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand with its own subcommands."""
    add_group(
        subparsers,
        "train",
        _COMMANDS,
        description="Train a judge, or instruction-tune a model.",
        epilog=_EPILOG,
    )
