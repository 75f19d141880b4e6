"""The whole of ``selfj collect run`` on made instructions: speed, memory, growth, duplicates found.

Texts with realistic lengths, a tenth of them planted copies of earlier ones (made_instructions.py),
are written as local files of eight sources, and go through the real run: conversion, all
filters, contamination check, exact and near duplicates. The smaller sizes are the beginning of the
larger ones. Finished parts stay in the work folder, so the same command goes on.

example:
  python benchmarks/collection.py --work work --sizes 100000 1000000 5750000
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from made_instructions import made_instructions

from selfj_eval import collection as collect
from selfj_eval.collection.filters import dropped_by, steps
from selfj_eval.files.atomic import write_json

SOURCES = 8
SHARD = 6_250
THRESHOLD = 0.8


def main() -> None:
    """Make the texts, collect each size, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 5_750_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if wrong := [size for size in options.sizes if size % (SHARD * SOURCES)]:
        parser.error(f"sizes must be multiples of {SHARD * SOURCES:,}, got {wrong}")
    make(options.work / "made", max(options.sizes), options.seed)
    results = []
    for size in sorted(options.sizes):
        file = options.work / f"{size}.json"
        if not file.exists():
            write_json(file, measure(options, size))
        results.append(json.loads(file.read_text()))
    print(table(results))


def make(folder: Path, count: int, seed: int) -> None:
    """Write the texts as shards, with what is planted in them."""
    folder.mkdir(parents=True, exist_ok=True)
    start, stream = time.monotonic(), made_instructions(count, seed)
    if (folder / f"{count // SHARD - 1:05}.parquet").exists():
        return
    for number in range(count // SHARD):
        made = list(islice(stream, SHARD))
        columns = {
            "text": [m.text for m in made],
            "original": [-1 if m.original is None else m.original for m in made],
            "change": [m.change or "" for m in made],
            "jaccard": [m.jaccard or 0.0 for m in made],
        }
        temporary = folder / f"{number:05}.tmp"
        pq.write_table(pa.table(columns), temporary, compression="zstd")
        temporary.rename(folder / f"{number:05}.parquet")
    print(f"made {count:,} texts in {time.monotonic() - start:.0f} s", flush=True)


def shards(made: Path, size: int) -> list[list[Path]]:
    """The files of each source: the first texts in the first."""
    files = [made / f"{number:05}.parquet" for number in range(size // SHARD)]
    own = len(files) // SOURCES
    return [files[k * own : (k + 1) * own] for k in range(SOURCES)]


def measure(options: argparse.Namespace, size: int) -> dict[str, object]:
    """Collect the first ``size`` texts."""
    work: Path = options.work / str(size)
    entries = []
    for k, files in enumerate(shards(options.work / "made", size)):
        name = f"made_{k}"
        folder = work / "from" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            if not (folder / file.name).exists():
                (folder / file.name).symlink_to(file.resolve())
        entries.append(
            {"name": name, "category": "Common", "expected": size // SOURCES, "hub": f"x/{name}",
             "split": "train", "licence": "none", "fields": ["text"], "converter": "single"}
        )  # fmt: skip
    (work / "sources.yaml").write_text(yaml.safe_dump(entries))
    # In a process of its own, so that the memory is that of the run alone.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        peak, start = Peak(process.submit(os.getpid).result()), time.monotonic()
        made = process.submit(
            collect.run,
            output=work / "out",
            origin=work / "from",
            source_file=work / "sources.yaml",
            workers=options.workers,
        ).result()
        seconds, memory = time.monotonic() - start, peak.stop()
    return {
        "size": size,
        "seconds": seconds,
        "memory": memory,
        "kept": made.kept,
        "dropped": made.dropped,
        **duplicates(options.work / "made", work / "out", size),
    }


class Peak:
    """Largest memory of a process and its children together, looked at five times a second."""

    def __init__(self, pid: int) -> None:
        self._process, self._most, self._stop = psutil.Process(pid), 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        """The largest sum of proportional set sizes, in bytes."""
        self._stop.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            total = 0
            try:
                for process in (self._process, *self._process.children(recursive=True)):
                    total += process.memory_full_info().pss
            except psutil.Error:
                continue
            self._most = max(self._most, total)


def duplicates(made: Path, out: Path, size: int) -> dict[str, object]:
    """How many of the planted copies were found, and what else went with them."""
    filters = steps()
    right, found, gone = Counter[str](), Counter[str](), Counter[str]()
    for k, files in enumerate(shards(made, size)):
        kept = texts(out / "Common" / f"made_{k}.parquet")
        following = next(kept, None)
        for file in files:
            rows = pq.read_table(file).to_pydict()
            for text, change, similar in zip(
                rows["text"], rows["change"], rows["jaccard"], strict=True
            ):
                stays = text == following
                if stays:
                    following = next(kept, None)
                near = similar >= THRESHOLD
                if (near or not stays) and dropped_by(text, filters) is not None:
                    continue  # a filter took it
                if near:
                    right[change] += 1
                    found[change] += not stays
                if not stays:
                    gone["planted" if near else "below" if change else "not planted"] += 1
    total = sum(found.values())
    return {
        "recall": total / sum(right.values()),
        "recall_by_change": {name: found[name] / right[name] for name in sorted(right)},
        "precision": gone["planted"] / sum(gone.values()),
        "gone": dict(gone),
    }


def texts(file: Path) -> Iterator[str]:
    with pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(65536, columns=["instruction"]):
            yield from batch.column("instruction").to_pylist()


def table(results: list[dict[str, object]]) -> str:
    """The measurements as Markdown."""
    head = ["texts", "seconds", "texts a second", "growth", "largest memory, GB"]
    head += ["kept", "recall", "precision"]
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(['---:'] * len(head))} |"]
    before = None
    for r in results:
        size, seconds = float(str(r["size"])), float(str(r["seconds"]))
        growth = (
            ""
            if before is None
            else f"{np.log(seconds / before[1]) / np.log(size / before[0]):.2f}"
        )
        before = (size, seconds)
        lines.append(
            f"| {size:,.0f} | {seconds:,.0f} | {size / seconds:,.0f} | {growth} | "
            f"{float(str(r['memory'])) / 1e9:.2f} | {r['kept']:,} | {r['recall']:.4f} | "
            f"{r['precision']:.4f} |"
        )
    last = results[-1]
    lines += ["", f"recall by change: {last['recall_by_change']}", f"gone: {last['gone']}"]
    return "\n".join([*lines, f"dropped: {last['dropped']}"])


if __name__ == "__main__":
    main()
