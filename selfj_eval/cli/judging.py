"""What the subcommands share that run a judge: its options, and how it is loaded by them."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.numbers import whole
from selfj_eval.documents import parse_yaml
from selfj_eval.errors import DataError, JudgeError, brief
from selfj_eval.judging.options import ENGINES

if TYPE_CHECKING:
    from selfj_eval.judge import Judge
    from selfj_eval.store import JudgmentStore

_OPTIONS: dict[str, dict[str, Any]] = {
    "--adapter": {"metavar": "DIR", "help": "LoRA adapter to put on the judge"},
    "--reference": {
        "action": argparse.BooleanOptionalAction,
        "default": True,
        "help": "show the judge the reference of the records that have one (default: yes)",
    },
    "--template": {
        "help": "prompt template: self-j, self-j-unwrapped or sections (default: self-j, of an "
        "encoder sections)",
    },
    "--max-tokens": {
        "type": whole,
        "metavar": "N",
        "help": "longest prompt; longer ones lose the middle of the answer, then of the reference "
        "(default: the judge's context, at most 4096)",
    },
    "--allow-markers": {
        "action": "store_true",
        "default": False,
        "help": "also judge answers that hold text of the judge's prompt",
    },
    "--store": {
        "metavar": "FILE",
        "help": "file that keeps judgments (default: beside the output)",
    },
    "--engine": {
        "default": "transformers",
        "choices": ENGINES,
        "help": "what runs the judge: transformers, vllm, or openai for a judge behind an "
        "OpenAI-compatible server (default: transformers)",
    },
    "--engine-arg": {
        "action": "append",
        "default": [],
        "metavar": "NAME=VALUE",
        "help": "an argument of the engine's own, such as tensor_parallel_size=2 (vllm) or "
        "base_url=http://localhost:8000/v1 (openai); may be repeated (docs/engines.md)",
    },
    "--revision": {"help": "branch, tag or commit of the judge on the hub"},
    "--dtype": {
        "default": "auto",
        "choices": ["auto", "float32", "bfloat16", "float16"],
        "help": "number format (default: float32 on a CPU, bfloat16 on a GPU that has it)",
    },
    "--device": {"default": "auto", "help": "auto, cpu, cuda, cuda:1, mps"},
    "--batch-tokens": {
        "type": whole,
        "metavar": "N",
        "help": "tokens a batch (transformers; default: what memory holds, 4096 on a CPU)",
    },
    "--trust-remote-code": {
        "action": "store_true",
        "default": False,
        "help": "run Python code that comes with the judge; only for sources you trust",
    },
}


def add_judge_options(parser: argparse.ArgumentParser, *flags: str) -> None:
    """Add the options that say how a judge runs: the named ones, by default all.

    ``--judge`` itself is not among them: each command has its own words for it.
    """
    for flag in flags or _OPTIONS:
        parser.add_argument(flag, **_OPTIONS[flag])


def judge_options_given(options: argparse.Namespace) -> list[str]:
    """The flags of ``add_judge_options`` that are not at their default."""
    return [
        flag
        for flag, settings in _OPTIONS.items()
        if getattr(options, flag[2:].replace("-", "_")) != settings.get("default")
    ]


def load_judge(options: argparse.Namespace, store: JudgmentStore | None) -> Judge:
    """The judge that the options ask for.

    Raises:
        JudgeError: If it cannot be loaded whole and safely.
    """
    from selfj_eval.judge import Judge

    return Judge.load(options.judge, store=store, **judge_settings(options))


def judge_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The options as arguments of ``Judge.load``, without model and store."""
    names = "adapter template reference max_tokens allow_markers revision dtype device"
    names += " batch_tokens trust_remote_code engine"
    settings = {name: getattr(options, name) for name in names.split()}
    for name in ("max_tokens", "batch_tokens"):
        if settings[name] is not None and settings[name] < 1:
            flag = "--" + name.replace("_", "-")
            raise DataError(f"{flag} must be at least 1, got {settings[name]}.")
    return settings | {"engine_args": engine_args(options.engine_arg)}


def engine_args(given: list[str]) -> dict[str, Any]:
    """Arguments of the form ``NAME=VALUE``; values are read as YAML (numbers, true, null, text).

    Raises:
        JudgeError: If one has another form.
    """
    found = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise JudgeError(
                "--engine-arg takes NAME=VALUE, such as base_url=http://localhost:8000."
            )
        try:
            found[name] = parse_yaml(value)
        except ValueError as error:
            raise JudgeError(
                f"--engine-arg {name}: the value is not readable YAML "
                f"({brief(error).rstrip('.')}); put it in quotes."
            ) from error
        if isinstance(found[name], str) and re.fullmatch(r"[-+]?\d+(\.\d*)?e[-+]?\d+", value):
            found[name] = float(value)  # YAML wants a point in 1e-3
    return found
