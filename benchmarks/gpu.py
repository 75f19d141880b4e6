"""Measures judging and training on a GPU.

Needs this repository, torch, transformers and peft only (and pytest for the part `tests`). Each
part runs in a process of its own, for nine minutes at most, and the others go on when it fails.
A part writes OUTPUT/PART.json as it goes. After each part OUTPUT/gpu-CARD.md is made from all parts
that are there, so you can run the parts one at a time.

parts:
  tests       the tests marked `gpu`
  score-1b    a random Llama of 1 billion parameters scores the mix and best-of-32 of scoring.py:
              one by one, padded, packed in two ways
  score-7b    the same with 7 billion
  train-step  a training step beside the original's: time and memory
  lora        200 steps of a LoRA training, with loss curve

examples:
  python benchmarks/gpu.py --output out
  python benchmarks/gpu.py --output out --part score-1b --part lora
  python benchmarks/gpu.py --output out --tiny
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it need not be installed

from gpu_table import table

from selfj_eval.files.atomic import atomic_write, write_json

PARTS = ("tests", "score-1b", "score-7b", "train-step", "lora")
LIMIT = 540.0


def main() -> int:
    """Run the parts; 1 if any failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder; is made")
    parser.add_argument("--part", choices=PARTS, action="append", help="one part; repeatable")
    parser.add_argument("--device", help="default: cuda, or cpu with --tiny")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds a part (default 540)")
    parser.add_argument("--tiny", action="store_true", help="tiny models: a trial of it all")
    options = parser.parse_args()
    device = options.device or ("cpu" if options.tiny else "cuda")
    options.output.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no part is left running
    failed = 0
    for name in dict.fromkeys(options.part or PARTS):
        part = run(name, options.output, device, options.limit, options.tiny)
        failed += part["status"] == "failed"
        reason = f": {part['reason']}" if "reason" in part else ""
        print(f"{name}: {part['status']}, {part['seconds']:.0f} s{reason}", flush=True)
        documents = write_tables(options.output)
    for document in documents:
        print(f"\n{document}:\n\n{document.read_text(encoding='utf-8')}")
    return 1 if failed else 0


def run(name: str, output: Path, device: str, limit: float, tiny: bool) -> dict[str, Any]:
    """Run a part in a process of its own, and end it when its time is over.

    Returns:
        What it has found, with ``status``: ``done``, ``not run`` or ``failed``.
    """
    file, log = output / f"{name}.json", output / f"{name}.log"
    file.unlink(missing_ok=True)  # an earlier run's
    script = Path(__file__).with_name("gpu_part.py")
    command = [sys.executable, str(script), name, f"--output={output}", f"--device={device}",
               f"--limit={limit}", *(["--tiny"] if tiny else [])]  # fmt: skip
    # One card, or none at all: the engine and transformers take what they see.
    cards = "" if device == "cpu" else os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": cards, "HF_HUB_OFFLINE": "1"}
    if tiny:  # more threads would only wait for each other
        environment["OMP_NUM_THREADS"] = "1"
    start = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(limit)
            reason = f"ended with status {status}"
        except subprocess.TimeoutExpired:
            reason = f"ended after {limit:.0f} seconds"
        finally:  # with what it has started, also when this command is interrupted
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    part = _read(file) or {"status": "running", "part": name, "device": device, "tiny": tiny}
    if part["status"] == "running":  # it could not say so itself
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        part |= {"status": "failed", "reason": ": ".join([reason, *lines[-1:]])}
    part["seconds"] = round(time.monotonic() - start, 1)
    write_json(file, part)
    return part


def write_tables(output: Path) -> list[Path]:
    """Write a Markdown document for each card that the parts in the folder ran on."""
    (output / "gpu-unknown.md").unlink(missing_ok=True)
    found = {name: part for name in PARTS if (part := _read(output / f"{name}.json"))}
    cards = {name: part.get("machine", {}).get("card") for name, part in found.items()}
    documents = []
    for card in sorted({card for card in cards.values() if card}) or ["unknown"]:
        # A part that failed before it saw its card is in each.
        own = {name: part for name, part in found.items() if cards[name] in (card, None)}
        document = output / f"gpu-{re.sub('[^A-Za-z0-9]+', '-', card).strip('-')}.md"
        with atomic_write(document) as stream:
            stream.write(table(card, own).encode())
        documents.append(document)
    return documents


def _read(file: Path) -> dict[str, Any] | None:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


if __name__ == "__main__":
    sys.exit(main())
