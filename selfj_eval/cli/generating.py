"""What the subcommands share that have a model answer: its options, and how they load it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.numbers import whole
from selfj_eval.errors import DataError
from selfj_eval.terminal import say

if TYPE_CHECKING:
    from selfj_eval.generation.base import Generator, Sampling


def add_generator_options(parser: argparse.ArgumentParser, *, temperature: float = 0.0) -> None:
    """Add the options that say how answers are drawn, and what runs the model.

    ``--model`` and ``--adapter`` are not among them: each command has its own words for them.
    """
    add = parser.add_argument
    add(
        "--engine",
        default="transformers",
        choices=["transformers", "vllm"],
        help="what runs the model (default: transformers)",
    )
    add(
        "--prompt",
        default="wizardlm",
        choices=["wizardlm", "chat", "plain"],
        help="prompt form; the one that the model was trained with (default: wizardlm)",
    )
    add("--n", type=whole, default=1, metavar="N", help="answers an instruction (default: 1)")
    add(
        "--temperature",
        type=float,
        default=temperature,
        help=f"0: the likeliest token (default: {temperature:g})",
    )
    add("--top-p", type=float, default=1.0, help="draw from this much probability (default: 1)")
    add(
        "--max-new-tokens",
        type=whole,
        default=1024,
        metavar="N",
        help="longest answer; what is longer is cut, and counted (default: 1024)",
    )
    add("--seed", type=whole, default=0, help="start of the random numbers (default: 0)")
    add(
        "--batch-size",
        type=whole,
        metavar="N",
        help="answers generated together, transformers only (default: 8 on a CPU, 32 on a GPU)",
    )
    add(
        "--dtype",
        default="auto",
        choices=["auto", "float32", "bfloat16", "float16"],
        help="number format (default: float32 on a CPU, bfloat16 on a GPU; vllm: the model's own)",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps; transformers only")
    add("--revision", help="branch, tag or commit of the model on the hub")
    add(
        "--trust-remote-code",
        action="store_true",
        help="run Python code that comes with the model; only for sources you trust",
    )


def answering_options(options: argparse.Namespace, *, temperature: float) -> list[str]:
    """The given options, of ``add_generator_options``, that only say how answers are drawn.

    Args:
        options: The command line.
        temperature: That of ``add_generator_options``.
    """
    defaults = {"engine": "transformers", "prompt": "wizardlm", "n": 1, "temperature": temperature,
                "top_p": 1.0, "max_new_tokens": 1024, "batch_size": None}  # fmt: skip
    given = [name for name, default in defaults.items() if getattr(options, name) != default]
    return [f"--{name.replace('_', '-')}" for name in given]


def load_generator(options: argparse.Namespace, sampling: Sampling) -> Generator:
    """The model that the options ask for; says when answers may be cut by its context.

    Raises:
        DataError: If options exclude each other.
        JudgeError: If it cannot be loaded whole and safely.
    """
    generator = _load(options)
    if sampling.max_new_tokens >= generator.context:
        say(
            f"note: the model's context of {generator.context:,} tokens has no room for "
            f"answers of {sampling.max_new_tokens:,}; they end where it ends",
            file=sys.stderr,
        )
    return generator


def _load(options: argparse.Namespace) -> Generator:
    model: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("model", "adapter", "prompt", "revision", "dtype", "trust_remote_code")
    }
    if options.engine == "vllm":
        from selfj_eval.generation.vllm import VllmGenerator

        if options.batch_size is not None or options.device != "auto":
            raise DataError(
                "--batch-size and --device are for --engine transformers: vLLM forms its own "
                "batches on the devices it finds (CUDA_VISIBLE_DEVICES); leave them out."
            )
        return VllmGenerator(**model)
    from selfj_eval.generation.transformers import TransformersGenerator

    return TransformersGenerator(**model, batch_size=options.batch_size, device=options.device)
