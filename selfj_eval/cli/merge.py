"""``selfj merge``: merge a LoRA adapter into its base model."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.training.settings import MergeOptions

_EXAMPLES = """examples:
  selfj merge --adapter my-judge --output my-judge-merged
  selfj merge --adapter my-judge --base ./llama-2-13b --dtype bfloat16 --output my-judge-merged

The merged folder is one model with its tokenizer, which transformers, vLLM and lm-eval can load.
The base is loaded unquantised, even if the adapter was trained on a quantised one. The folder also
contains the model card, README.md, with the training metrics, and merge.json.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "merge",
        run,
        description="Merge a LoRA adapter into its base model.",
        epilog=_EXAMPLES,
    )
    add_flags(parser, MergeOptions)


def run(arguments: argparse.Namespace) -> int:
    """Merge; returns the exit status."""
    from selfj_eval.training.merge import merge_adapter

    show(merge_adapter(options_from(arguments, MergeOptions)), arguments)
    return 0
