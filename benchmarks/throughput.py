"""What `selfj score` itself costs: a million records through a judge that does nothing.

Makes folders of Parquet files, and runs the command over them in a process of its own, in which
the judge is replaced by one that answers at once. Then the same again, killed in the middle and
started anew. Reports records a second, the largest memory of the process, and how long the second
run took to its first new judgment.

examples:
  python benchmarks/throughput.py
  python benchmarks/throughput.py --records 100000 --json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfj_eval.engines.base import Batch
from selfj_eval.prompts.templates import Offsets, get_template

FILE = 50_000
"""Records of a file."""


class NullBackend:
    """Answers every prompt with ten equal probabilities, and counts a token every 16 characters."""

    identity: Mapping[str, str] = {"model": "null", "adapter": ""}
    template = get_template("self-j")
    max_tokens = 4096
    usage: Mapping[str, float] = {}

    def tokenize(self, text: str) -> Offsets:
        return [(at, at + 16) for at in range(0, len(text), 16)]

    def score(self, prompts: Sequence[str]) -> Iterator[Batch]:
        if first := os.environ.pop("FIRST_JUDGMENT", None):
            Path(first).write_text(str(time.time()))
        yield Batch(list(range(len(prompts))), np.full((len(prompts), 10), np.log(0.1)))


def child(arguments: list[str]) -> int:
    """Run `selfj` with that judge, and print the largest memory on the last line."""
    from selfj_eval.cli import main as selfj
    from selfj_eval.raters import judge

    judge.open_backend = lambda model, options: NullBackend()
    status = selfj(arguments)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return status


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = [run(folder, n) for n in (options.records // 10, options.records)]
        report.append(interrupted(folder, options.records))
    if options.json:
        print(json.dumps(report))
        return
    print(
        "| records | seconds | records a second | largest memory, MB |\n"
        "| ---: | ---: | ---: | ---: |"
    )
    for line in report[:2]:
        count, seconds, memory = line["records"], line["seconds"], line["megabytes"]
        print(f"| {count:,} | {seconds:.1f} | {count / seconds:,.0f} | {memory:,.0f} |")
    last = report[2]
    print(
        f"\nkilled after {last['kept']:,} records; the next run made its first new judgment after "
        f"{last['first']:.1f} s, and was done after {last['seconds']:.1f} s"
    )


def write(folder: Path, records: int) -> Path:
    """A folder of Parquet files."""
    inputs = folder / f"in-{records}"
    inputs.mkdir(exist_ok=True)
    for start in range(0, records, FILE):
        numbers = range(start, min(start + FILE, records))
        columns = {
            "id": [f"r{k}" for k in numbers],
            "instruction": [f"Say which town is number {k} of the list, and why." for k in numbers],
            "response": [f"Number {k} is the town by the river. " * 6 for k in numbers],
            "reference": [f"It is number {k}. " * 6 for k in numbers],
            "model": ["some-model"] * len(numbers),
        }
        pq.write_table(pa.table(columns), inputs / f"{start:09}.parquet")
    return inputs


def command(inputs: Path, output: Path) -> list[str]:
    """The child's."""
    selfj = ["score", str(inputs), "--judge", "null", "--output", str(output), "--json"]
    return [sys.executable, __file__, "--child", *selfj]


def run(folder: Path, records: int) -> dict[str, Any]:
    """One whole run."""
    inputs = write(folder, records)
    start = time.monotonic()
    done = subprocess.run(
        command(inputs, folder / f"out-{records}"), check=True, capture_output=True, text=True
    )
    seconds = time.monotonic() - start
    summary, memory = done.stdout.splitlines()
    assert json.loads(summary)["scored"] == records
    return {"records": records, "seconds": seconds, "megabytes": int(memory) / 1024}


def interrupted(folder: Path, records: int) -> dict[str, Any]:
    """A run that is killed when half of the files are done, and the next."""
    inputs, output, first = folder / f"in-{records}", folder / "out-killed", folder / "first"
    process = subprocess.Popen(
        command(inputs, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    half = records // FILE // 2
    while process.poll() is None and len(list(output.glob("*.parquet"))) < half:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    begun, start = time.time(), time.monotonic()
    done = subprocess.run(
        command(inputs, output),
        check=True, capture_output=True, text=True, env=os.environ | {"FIRST_JUDGMENT": str(first)},
    )  # fmt: skip
    summary = json.loads(done.stdout.splitlines()[0])
    assert summary["scored"] == records
    return {
        "kept": summary["from_store"],
        "first": float(first.read_text()) - begun,
        "seconds": time.monotonic() - start,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(sys.argv[2:]))
    main()
