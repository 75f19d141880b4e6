"""How fast `selfj view` reads, searches and sorts many answers.

    SELFJ_DATA=... python benchmarks/viewing.py [--records 100000]

Real answers of judge_bench are repeated under other ids until there are enough; scores and ratings
are changed a little, so that they are not equal. Each query is asked over HTTP as the page asks it,
several times with another value, so that no order is known from before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import httpx
from process_memory import status

from selfj_eval import read_records
from selfj_eval.workbench.serving import running
from selfj_eval.workbench.view import ViewOptions, view_page

REPEATS = 5
QUERIES = {
    "a page of the list": "start={k}000",
    "sort by score": "sort=score&score_from=0.{k}",
    "filter by score and model": "score_from={k}&score_to=8&model={model}&sort=rating",
    "unscored": "show=unscored&category={category}",
    "disagreement, highest first": "sort=disagreement&order=down&disagreement_from=0.{k}",
    "a rare word": "q={rare}",
    "a common word, sorted": "q={common}&sort=score",
    "a phrase": 'q="{common}+the"',
    "signs, found without the index": "q={signs}",
}
WORDS = {
    "rare": ("fibonacci", "photosynthesis", "glacier", "symphony", "enzyme"),
    "common": ("of", "in", "for", "with", "and"),
    "signs": ("def+f(", "x%5E2", "C%2B%2B", "print(", "//"),
}


def make(folder: Path, count: int, output: Path) -> None:
    """Write scored answers."""
    files = sorted((folder / "judge_bench").glob("pointwise_*.parquet"))
    records = [record for file in files for record in read_records(file)]
    rng = random.Random(0)
    with output.open("w", encoding="utf-8") as stream:
        for k in range(count):
            record = records[k % len(records)]
            own = [rng.random() for _ in range(10)]
            probabilities = [round(p / sum(own), 6) for p in own]
            scored = {"score": rng.uniform(0, 9), "probabilities": probabilities}
            if k % 100 == 7:
                scored = {"score": None, "error": "no digit has a finite probability"}
            row = record.row() | {"id": f"{k}-{record.id}"} | scored
            stream.write(json.dumps(row) + "\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    count = parser.parse_args().records
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "scores.jsonl"
        # In a process of its own, so that the memory below is the page's.
        making = get_context("spawn").Process(
            target=make, args=(Path(os.environ["SELFJ_DATA"]), count, file)
        )
        making.start()
        making.join()
        before = status("VmHWM")
        print(f"{count:,} answers, {file.stat().st_size / 1e6:,.0f} MB")
        options = ViewOptions(open_browser=False)
        start, busy = time.perf_counter(), time.process_time()
        with view_page([file], options) as (app, _), running(app, options) as address:
            took, used = time.perf_counter() - start, time.process_time() - busy
            print(f"read and indexed in {took:.1f} s ({used:.1f} s of processor time)")
            print("query | found | median | slowest | processor time of the slowest")
            with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
                about = client.get("/api/about").json()
                names = [[value for value, _ in about[key]] for key in ("models", "categories")]
                for name, query in QUERIES.items():
                    ask(client, name, query, *names)
        after = status("VmHWM")
        print(f"memory: {after / 1e6:.2f} GB at most; before reading {before / 1e6:.2f} GB")


def ask(
    client: httpx.Client, name: str, query: str, models: list[str], categories: list[str]
) -> None:
    """Ask one query several times; print how long it took. Client and server are one process."""
    times, found = [], 0
    for k in range(REPEATS):
        words = {key: given[k % len(given)] for key, given in WORDS.items()}
        model, category = models[k % len(models)], categories[k % len(categories)]
        asked = query.format(k=k, model=model, category=category, **words)
        start, busy = time.perf_counter(), time.process_time()
        answer = client.get(f"/api/answers?{asked}")
        times.append((time.perf_counter() - start, time.process_time() - busy))
        answer.raise_for_status()
        found = answer.json()["total"]
    times.sort()
    median, (slowest, used) = times[len(times) // 2][0], times[-1]
    print(f"{name} | {found:,} | {median:.3f} s | {slowest:.3f} s | {used:.3f} s", flush=True)


if __name__ == "__main__":
    main()
