"""`selfj eval`, `report` and `compare` on large files: time, memory, and one resample in two ways.

With `--estimate` instead `selfj estimate` on 100,000 answers of which 500 are rated.

examples:
  python benchmarks/evaluation.py --rows 300000
  python benchmarks/evaluation.py --estimate
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from selfj_eval import metrics
from selfj_eval.metrics import Headline
from selfj_eval.metrics.resampled import RESAMPLED, ResampledHeadline

KINDS = {
    "five answers to each instruction": 5,
    "an instruction for each answer": 1,
    "300 answers to each instruction": 300,
    "no instructions": None,
}
WORDS = 75  # of an answer: about 500 characters
MANY, FEW, ROUNDS = 100_000, 500, 3  # answers, ratings and runs with `--estimate`


def columns(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of 0 to 9, some of them at the ends, and ratings of 1 to 10."""
    rng = np.random.default_rng(seed)
    quality = np.random.default_rng(0).normal(size=rows)
    rating = np.clip(np.round(5.5 + 2 * quality), 1, 10)
    return np.clip(4.5 + 1.5 * quality + rng.normal(0, 1.5, rows), 0, 9), rating


def write(path: Path, rows: int, answers: int | None, seed: int, *, rated: bool = True) -> None:
    """A file of scored answers; two seeds are two judges of the same answers."""
    score, rating = columns(rows, seed)
    rng = np.random.default_rng(0)
    words = np.array(["".join(rng.choice(list("etaoinshrdlu"), k)) for k in range(2, 11)] * 500)
    with path.open("w") as stream:
        for k in range(rows):
            row = {"id": f"answer-{k}", "score": float(score[k])}
            if rated:
                row |= {"rating": float(rating[k]), "rating_min": 1, "rating_max": 10}
            row |= {"model": f"model-{k % 5}", "category": f"category-{k // 5 % 10}"}
            row["response"] = " ".join(
                rng.choice(words, int(rng.integers(WORDS // 2, WORDS * 3 // 2)))
            )
            if answers is not None:
                number = k // answers
                row["instruction"] = f"Question {number}: {' '.join(words[number % 4000 :][:15])}"
            stream.write(json.dumps(row) + "\n")


class Measured(NamedTuple):
    """What one `selfj` command took: seconds, user seconds of the processor, memory in GB."""

    seconds: float
    user: float
    memory: float


def measured(*arguments: str | Path) -> Measured:
    """Run one `selfj` command."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "selfj_eval", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"selfj {arguments[0]} ended with status {process.returncode}")
    return Measured(time.perf_counter() - start, usage.ru_utime, usage.ru_maxrss / 1e6)


def estimate() -> None:
    """`selfj estimate` with few ratings, several times."""
    _, rating = columns(MANY, 1)
    with tempfile.TemporaryDirectory() as folder:
        scores, ratings = Path(folder, "scores.jsonl"), Path(folder, "ratings.jsonl")
        write(scores, MANY, 5, 1, rated=False)
        chosen = np.random.default_rng(0).choice(MANY, FEW, replace=False)
        rows = ({"id": f"answer-{k}", "rating": float(rating[k])} for k in chosen)
        rows = (row | {"rating_min": 1, "rating_max": 10} for row in rows)
        ratings.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found = [measured("estimate", scores, "--ratings", ratings) for _ in range(ROUNDS)]
    user = sorted(one.user for one in found)
    print(
        f"`selfj estimate`, {MANY:,} answers, {FEW} of them rated, {ROUNDS} runs: user time "
        f"{statistics.median(user):.1f} s ({user[0]:.1f} to {user[-1]:.1f}), largest memory "
        f"{max(one.memory for one in found):.2f} GB"
    )


def one_resample(rows: int, rounds: int = 7) -> None:
    """The two ways in turn on the same draws: time, ratio, and how far their numbers differ."""
    score, rating = columns(rows, 1)
    good = rating >= 7
    start = time.perf_counter()
    prepared = ResampledHeadline(score, rating, good.astype(float))
    preparing = time.perf_counter() - start
    rng = np.random.default_rng(0)
    ways: tuple[list[float], list[float]] = [], []
    furthest = 0.0
    for k in range(rounds + 1):
        drawn = rng.integers(0, rows, rows)
        start = time.perf_counter()
        truth: Headline = metrics.headline(score[drawn], rating[drawn], good[drawn])
        between = time.perf_counter()
        found = prepared.values(np.bincount(drawn, minlength=rows))
        end = time.perf_counter()
        if k:  # the first one loads scipy
            ways[0].append(between - start)
            ways[1].append(end - between)
        expected = [getattr(truth, name).value for name in RESAMPLED]
        furthest = max(furthest, float(np.abs(found - np.array(expected)).max()))
    ratio = statistics.median(a / b for a, b in zip(*ways, strict=True))
    sorting, counting = map(statistics.median, ways)
    print(
        f"one resample of {rows:,} answers: sorted again {1000 * sorting:.0f} ms, counted in an "
        f"order made once {1000 * counting:.1f} ms (made in {preparing:.2f} s), ratio {ratio:.0f}; "
        f"largest difference {furthest:.0e}\n"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000, help="answers (default: 300000)")
    parser.add_argument("--estimate", action="store_true", help="measure `selfj estimate` only")
    options = parser.parse_args()
    if options.estimate:
        estimate()
        return
    one_resample(options.rows)
    print("| answers | command | seconds | largest memory, GB |\n| --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "first.jsonl"), Path(folder, "second.jsonl")
        for kind, answers in KINDS.items():
            write(first, options.rows, answers, 1)
            commands: dict[str, tuple[str | Path, ...]] = {"eval": (first,)}
            if answers == 5:
                write(second, options.rows, answers, 2)
                commands["report"] = (first, "--output", Path(folder, "page.html"))
                commands["compare"] = (first, second)
            for command, rest in commands.items():
                found = measured(command, *rest)
                cells = f"{found.seconds:.1f} | {found.memory:.2f}"
                print(f"| {kind} | `selfj {command}` | {cells} |", flush=True)


if __name__ == "__main__":
    main()
