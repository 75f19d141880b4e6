"""How long commands take to start, beside those of another checkout.

python benchmarks/startup.py OTHER [--judge demo] [--rounds 5]

Runs each command with this repository and with OTHER in turn, and prints medians of user CPU
seconds and of wall-clock seconds with their ranges.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
RECORDS = 10


def seconds(repository: Path, arguments: list[str]) -> tuple[float, float]:
    """User CPU and wall-clock seconds of a command.

    Raises:
        SystemExit: If it fails.
    """
    environment = os.environ | {"PYTHONPATH": str(repository), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "selfj_eval", *arguments]
    start = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{repository}: {' '.join(arguments)}: exit status {process.returncode}")
    return usage.ru_utime, time.monotonic() - start


def shown(values: list[float]) -> str:
    """Median with range."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("--judge", action="append", help="may be repeated (default: demo)")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    repositories = {"other": options.other.resolve(), "this": ROOT}
    with tempfile.TemporaryDirectory() as folder:
        ladder, records = Path(folder, "ladder.jsonl"), Path(folder, "records.jsonl")
        seconds(ROOT, ["ladder", "--output", str(ladder)])
        records.write_text("".join(ladder.open(encoding="utf-8").readlines()[:RECORDS]))
        print("| command | checkout | user CPU, s | wall clock, s |\n| --- | --- | --- | --- |")
        commands = [["--help"], ["eval", "--help"]]
        commands += [["score", str(records), "--judge", own] for own in options.judge or ["demo"]]
        for command in commands:
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in repositories}
            for turn in range(options.rounds):
                for name, repository in repositories.items():
                    given = list(command)
                    if command[0] == "score":  # a new store each time: nothing is known already
                        given += ["--output", str(Path(folder, f"{name}{turn}.jsonl"))]
                    found[name].append(seconds(repository, given))
            title = " ".join(Path(word).name for word in command)
            for name, measured in found.items():
                cpu, wall = (shown(list(column)) for column in zip(*measured, strict=True))
                print(f"| `selfj {title}` | {name} | {cpu} | {wall} |", flush=True)


if __name__ == "__main__":
    main()
