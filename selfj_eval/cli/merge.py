"""``selfj merge``: put a LoRA adapter into its base."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from selfj_eval.cli.provenance import provenance
from selfj_eval.terminal import say

_EXAMPLES = """examples:
  selfj merge --adapter my-judge --output my-judge-merged
  selfj merge --adapter my-judge --base ./llama-2-13b --dtype bfloat16 --output my-judge-merged

The merged folder is one model with its tokenizer, which transformers, vLLM and lm-eval load. The
base is loaded whole also where the adapter was trained on a quantised one. Beside the weights
stand README.md, the model card with the training's numbers, and merge.json.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "merge",
        help="put a LoRA adapter into its base",
        description="Merge a LoRA adapter into its base model.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--adapter", required=True, metavar="DIR", help="the adapter's folder, or hub id")
    add("--base", metavar="MODEL", help="its base (default: the one it names)")
    add("--output", required=True, metavar="DIR", help="folder to make")
    add(
        "--dtype",
        default="float32",
        choices=["float32", "bfloat16", "float16"],
        help="number format of the result (default: float32)",
    )
    add("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Merge; returns the exit status."""
    from selfj_eval.training.card import write_card
    from selfj_eval.training.merge import merge
    from selfj_eval.writing import write_json

    output = Path(options.output)
    notes = {
        "kind": "merge",
        "dtype": options.dtype,
        **provenance(options, "torch", "transformers", "peft"),
    }

    def finish(folder: Path, result: dict[str, Any]) -> None:
        write_json(folder / "merge.json", {**notes, **result})
        write_card(folder, output.name)

    result = merge(options.adapter, output, base=options.base, dtype=options.dtype, finish=finish)
    if options.json:
        say(json.dumps({**notes, **result}))
    else:
        say(f"{output}: {result['parameters']:,} parameters in {options.dtype}, README.md")
    return 0
