"""`selfj serve` under load, beside `selfj score` on the same records.

Starts the service in a process of its own, and has clients ask it without pause, each for other
records. In turns, `selfj score` judges exactly the records that were answered: both give records a
second, and every answer must be that of `selfj score`. Then the service is asked to end under load
(nothing that it accepted may be lost), and one with a short queue is asked by more clients than it
can serve (429 with Retry-After, no request without an answer).

examples:
  python benchmarks/serving.py --judge demo
  python benchmarks/serving.py --judge small --data answers.jsonl --seconds 60 --rounds 3 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import IO, Any

import httpx

from selfj_eval import Record, ladder, read_records, write_records

CLOSE = 1e-4
"""How far a score may be from that of `selfj score`."""


@dataclass
class Asked:
    """What clients were answered.

    Attributes:
        statuses: How many requests had which status. Once the service ends, clients are ``not
            connected``, or find ``closed unanswered`` a connection that was kept for the next one.
        seconds: For each request with status 200, how long it took.
        scores: By id, of records that were answered; None where they are unscored.
        records: Those records.
        waits: What Retry-After said, of requests with status 429.
        took: Seconds from the first request to the last answer.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    scores: dict[str, float | None] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    took: float = 0.0


def endless(records: list[Record]) -> Iterator[Record]:
    """The records again and again, each time as others, so that none is judged twice."""
    for turn in count():
        for number, record in enumerate(records):
            text = record.instruction if turn == 0 else f"{record.instruction} ({turn})"
            yield replace(record, id=f"{turn}-{number}", instruction=text, messages=None)


@contextmanager
def started(judge: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The service, once it is ready, and its address."""
    command = ["serve", "--judge", judge, "--port", "0", "--json", *arguments]
    with tempfile.TemporaryFile("w+") as log:  # of a line for each request
        process = subprocess.Popen(
            [sys.executable, "-m", "selfj_eval", *command],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield process, _ready(process, log)
        finally:
            process.kill()


def _ready(process: subprocess.Popen[str], log: IO[str]) -> str:
    found = None
    while found is None:
        time.sleep(0.2)
        log.seek(0)
        said = log.read()
        if process.poll() is not None:
            sys.exit(said)
        found = re.search(r"is served on (http://\S+)", said)
    while True:
        try:
            httpx.get(f"{found[1]}/readyz", timeout=10).raise_for_status()
            return found[1]
        except httpx.TransportError:
            time.sleep(0.1)


async def load(
    url: str, source: Iterator[Record], clients: int, each: int, stop: asyncio.Event
) -> Asked:
    """Have clients ask without pause until ``stop`` is set; what they were answered."""
    asked = Asked()

    async def client() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=120) as session:
            while not stop.is_set():
                records = [next(source) for _ in range(each)]
                rows = [
                    {name: value for name, value in record.row().items() if name in NAMES}
                    for record in records
                ]
                began = time.monotonic()
                try:
                    answer = await session.post("/v1/judge", json={"records": rows})
                except httpx.ConnectError:
                    asked.statuses["not connected"] += 1
                    return
                except httpx.TransportError:
                    asked.statuses["closed unanswered"] += 1
                    return
                asked.statuses[str(answer.status_code)] += 1
                if answer.status_code == 429:
                    asked.waits.append(answer.headers.get("retry-after", "none"))
                    await asyncio.sleep(0.2)
                if answer.status_code != 200:
                    continue
                asked.seconds.append(time.monotonic() - began)
                judgments = answer.json()["judgments"]
                if [own["id"] for own in judgments] != [record.id for record in records]:
                    asked.statuses["mixed"] += 1
                asked.scores |= {own["id"]: own["score"] for own in judgments}
                asked.records += records

    began = time.monotonic()
    await asyncio.gather(*(client() for _ in range(clients)))
    asked.took = time.monotonic() - began
    return asked


NAMES = ("id", "instruction", "response", "reference", "category")


async def timed(url: str, source: Iterator[Record], options: argparse.Namespace) -> Asked:
    """Load for some seconds."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(options.seconds / options.rounds, stop.set)
    return await load(url, source, options.clients, options.each, stop)


def scored(judge: str, records: list[Record], folder: Path) -> tuple[float, dict[str, Any]]:
    """Seconds in which `selfj score` judges records, without loading, and their scores by id."""
    answers, output = folder / "answers.jsonl", folder / "scores.jsonl"
    write_records(answers, records)
    for old in folder.glob("scores.jsonl*"):
        old.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "selfj_eval", "score", answers, "--judge", judge]
        + ["--output", output, "--json"],
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    return json.loads(done.stdout)["seconds"], {row["id"]: row["score"] for row in rows}


def unlike(found: dict[str, float | None], known: dict[str, float | None]) -> int:
    """How many answers are not those of `selfj score`."""
    return sum(
        (score is None) != (known[name] is None)
        or (score is not None and abs(score - known[name]) > CLOSE)
        for name, score in found.items()
    )


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def throughput(options: argparse.Namespace, source: Iterator[Record]) -> dict[str, Any]:
    """Rounds of the service and of `selfj score`, in turns; then an end under load."""
    rounds, seconds, statuses, wrong = [], [], Counter[str](), 0
    with started(options.judge) as (process, url), tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            asked = asyncio.run(timed(url, source, options))
            took, known = scored(options.judge, asked.records, Path(folder))
            wrong += unlike(asked.scores, known)
            statuses += asked.statuses
            seconds += asked.seconds
            number = len(asked.records)
            rounds.append(
                {"records": number, "served": number / asked.took, "scored": number / took}
            )
        ending = asyncio.run(ended(process, url, source, options))
    for own in rounds:
        own["ratio"] = own["served"] / own["scored"]
    return {
        "rounds": rounds,
        "statuses": dict(statuses),
        "answers unlike those of selfj score": wrong,
        "p50 seconds": percentile(seconds, 0.5),
        "p99 seconds": percentile(seconds, 0.99),
        "SIGTERM under load": ending | {"requests before": sum(statuses.values())},
    }


async def ended(
    process: subprocess.Popen[str], url: str, source: Iterator[Record], options: argparse.Namespace
) -> dict[str, Any]:
    """SIGTERM while clients ask; what the service counted, and what they were answered."""
    loading = asyncio.create_task(load(url, source, options.clients, options.each, asyncio.Event()))
    await asyncio.sleep(2)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    asked = await loading
    out, _ = await asyncio.to_thread(process.communicate)
    return {
        "exit status": process.returncode,
        "seconds": time.monotonic() - began,
        "answers": dict(asked.statuses),
        "counted by the service": json.loads(out),
    }


def overload(options: argparse.Namespace, source: Iterator[Record]) -> dict[str, Any]:
    """Clients ask a service in which only a few records may wait."""
    most = str(options.each * max(1, options.clients // 4))
    few = argparse.Namespace(**vars(options) | {"seconds": min(10, options.seconds), "rounds": 1})
    limits = ("--max-waiting", most, "--max-records", str(options.each), "--batch-records", "8")
    with started(options.judge, *limits) as (_, url):
        asked = asyncio.run(timed(url, source, few))
    return {
        "may wait": int(most),
        "statuses": dict(asked.statuses),
        "Retry-After": dict(Counter(asked.waits)),
        "p99 seconds": percentile(asked.seconds, 0.99),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--judge", default="demo", help="as for selfj serve (default: demo)")
    parser.add_argument("--data", help="file of records (default: the quality ladder)")
    parser.add_argument("--seconds", type=float, default=60, help="of load, in all (default: 60)")
    parser.add_argument("--rounds", type=int, default=3, help="in turns (default: 3)")
    parser.add_argument("--clients", type=int, default=32, help="at a time (default: 32)")
    parser.add_argument("--each", type=int, default=1, help="records in a request (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    records = read_records(options.data) if options.data else ladder(instructions=200)
    source = endless(records)
    result = throughput(options, source) | {"overload": overload(options, source)}
    if options.json:
        print(json.dumps(result))
        return
    for own in result.pop("rounds"):
        print(
            f"{own['records']:,} records: served {own['served']:.1f} a second, scored "
            f"{own['scored']:.1f} a second, ratio {own['ratio']:.2f}"
        )
    for name, value in result.items():
        print(f"{name}: {f'{value:.3f}' if isinstance(value, float) else value}")


if __name__ == "__main__":
    main()
