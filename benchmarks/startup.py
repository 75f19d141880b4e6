"""Where the time before the first judgment goes: `selfj score` of ten short answers.

Runs the command in a process of its own, in which each step is timed, and in others the imports
that no judge in transformers can do without; in turn, and shows medians. All times are the
processor's, so that other work on the machine matters less.

examples:
  python benchmarks/startup.py
  python benchmarks/startup.py --judge small --runs 5 --json
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selfj_eval import ladder, write_records

WITHOUT_SEARCH = "import atexit, gc; gc.disable(); atexit.register(gc.freeze)\n"
ALONE = {
    "torch": "import torch",
    "torch and transformers": "import torch\nfrom transformers import AutoTokenizer, "
    "LlamaForCausalLM",
}
"""The least that is imported, as `selfj` does it: without a search for garbage."""
STEPS = {
    "engines.models.weights:model_folders": "folders checked",
    "engines.models.weights:fingerprint": "files hashed",
    "engines.models.tokenizer:JudgeTokenizer.__init__": "tokenizer",
    "engines.models.loading:load_weights": "weights loaded",
    "engines.models.loading:load_model": "adapter merged",
    "engines.open_engine:open_backend": "weights reordered, trial passes",
    "raters.judge:Judge.judge": "ten answers judged",
}
"""Functions of the package; what each takes without those above it."""
REST, START, END = "the rest of the command", "Python's own start", "Python's own end"


class Clock:
    """Time of the processor by step; a step's time is without that of steps within it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._last = 0.0

    def _turn(self) -> None:
        now = time.process_time()
        if self._running:
            step = self._running[-1]
            self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        self._turn()
        self._running.append(step)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def watch(self, name: str, step: str) -> None:
        """Time a function of the package, before other modules have taken it."""
        module, _, path = name.partition(":")
        *owners, function = path.split(".")
        holder: Any = importlib.import_module(f"selfj_eval.{module}")
        for owner in owners:
            holder = getattr(holder, owner)
        call: Callable[..., Any] = getattr(holder, function)

        @functools.wraps(call)
        def timed(*given: Any, **named: Any) -> Any:
            with self(step):
                return call(*given, **named)

        setattr(holder, function, timed)


def child(judge: str, folder: Path) -> None:
    """Run the command, and write the seconds of its steps."""
    clock = Clock()
    with clock("import of selfj's command"):
        from selfj_eval.cli import main as selfj
        from selfj_eval.jobs.garbage import no_search
        from selfj_eval.registry.judges import packaged_judge
    with no_search():
        with clock("import of torch"):
            import torch  # noqa: F401
        with clock("import of transformers, with a model's module"):
            from transformers import AutoTokenizer, LlamaForCausalLM  # noqa: F401
        if packaged_judge(judge) is not None:
            with clock("import of peft"):
                import peft  # noqa: F401
    for name, step in STEPS.items():
        clock.watch(name, step)
    with clock(REST):
        status = selfj(
            ["score", str(folder / "ten.jsonl"), "--judge", judge]
            + ["--output", str(folder / "scores.jsonl"), "--store", str(folder / "a.store")]
        )
    clock.seconds[END] = time.process_time()
    (folder / "steps.json").write_text(json.dumps(clock.seconds))
    sys.exit(status)


def seconds_of(command: list[str]) -> float:
    """What a process takes of the processor.

    Raises:
        RuntimeError: With its last words, if it fails.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            last = said.read().decode(errors="replace").strip()[-500:]
            raise RuntimeError(f"{' '.join(command)}: {last}")
    return used.ru_utime + used.ru_stime


def one_run(judge: str) -> dict[str, float]:
    """The seconds of each step, of the whole command, and of the imports alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_records(folder / "ten.jsonl", ladder(instructions=1))
        whole = seconds_of([sys.executable, __file__, "--judge", judge, "--child", name])
        steps: dict[str, float] = json.loads((folder / "steps.json").read_text())
    end = steps.pop(END)
    order = [name for name in steps if name.startswith("import")] + [*STEPS.values(), REST]
    named = {START: end - sum(steps.values())} | {name: steps[name] for name in order}
    named |= {END: whole - end, "whole command": whole}
    alone = {
        f"{what} alone": seconds_of([sys.executable, "-c", WITHOUT_SEARCH + code])
        for what, code in ALONE.items()
    }
    return named | alone


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--judge", default="demo", help="a judge that is on disk already")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the seconds of all runs")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.judge, options.child)
    runs = [one_run(options.judge) for _ in range(options.runs)]
    if options.json:
        print(json.dumps(runs))
        return
    print("| step | seconds | share |\n| --- | ---: | ---: |")
    whole = statistics.median(run["whole command"] for run in runs)
    for step in runs[0]:
        seconds = statistics.median(run[step] for run in runs)
        print(f"| {step} | {seconds:.2f} | {seconds / whole:.0%} |")


if __name__ == "__main__":
    main()
