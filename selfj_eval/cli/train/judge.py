"""``selfj train judge``: paired self-distillation."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.train.finishing import train_and_note
from selfj_eval.terminal import say
from selfj_eval.training.config import add_config_options, given, load_config
from selfj_eval.training.settings import JudgeConfig

_EXAMPLES = """examples:
  selfj train judge --config configs/self-j-13b.yaml --base ./llama-2-13b
  selfj train judge --base ./my-model --train-ref pairs.ref.jsonl --train-noref pairs.noref.jsonl \\
      --output my-judge --batch-size 4 --gradient-accumulation 32
  selfj train judge --architecture encoder --base ./my-encoder --lora-r 0 --max-tokens 512 \\
      --train-ref pairs.ref.jsonl --train-noref pairs.noref.jsonl --output small-judge
  torchrun --nproc_per_node 2 -m selfj_eval train judge --config my.yaml

Settings come from the YAML file, then from the flags. All data is checked before anything is
loaded. The loss is CE(with reference) + student_weight CE(without) + kl_weight KL (Self-J, arXiv
2409.00935, section 3), with both prompts of an answer in one batch.

Checkpoints are kept in OUTPUT.checkpoints until the judge is finished. After an interruption run
the same command again: it ends with the weights that an undisturbed run has. Beside the judge
stands OUTPUT/training.json: settings, data, versions and numbers.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "judge",
        help="train a judge from paired labels",
        description="Train a judge by paired self-distillation, resumably.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_options(parser, JudgeConfig)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    from selfj_eval.training.judge import train_judge

    config = load_config(JudgeConfig, options.config, given(options, JudgeConfig))
    files = ("train_ref", "train_noref", "validation_ref", "validation_noref")
    result = train_and_note("judge", config, train_judge, options, files)
    if result is not None:
        _print_summary(result, config.output)
    return 0


def _print_summary(result: dict[str, Any], output: str) -> None:
    trained, whole = result["parameters"]["trained"], result["parameters"]["all"]
    say(f"{output}: {result['steps']:,} steps in {result['seconds']:,.0f} s")
    say(f"  trained       {trained:,} of {whole:,} parameters; mean loss {result['loss']:.3f}")
    for name, counts in result["data"].items():
        say(
            f"  {name:<13} {counts['pairs']:,} answers, {counts['with_reference']:,} with "
            f"reference; {counts['trimmed']:,} of {counts['prompts']:,} prompts trimmed"
        )
    for name in ("teacher", "student"):
        found = {
            kind: result["metrics"][f"{name}_{kind}"]
            for kind in ("pearson", "spearman", "mae")
            if f"{name}_{kind}" in result["metrics"]
        }
        if found:
            prompt = "with reference" if name == "teacher" else "without"
            numbers = "  ".join(f"{kind} {value:.3f}" for kind, value in found.items())
            say(f"  {prompt:<15} {numbers}")
