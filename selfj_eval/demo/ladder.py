"""The quality ladder: instructions with ten answers each, rated 0..9 by construction.

``kinds_numbers``, ``kinds_text`` and ``kinds_facts`` draw the instructions and compute
their right answers; ``rungs`` has the rule by which an answer gets its rating.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from selfj_eval.demo.kinds_facts import facts, lists
from selfj_eval.demo.kinds_numbers import arithmetic, code, steps, units
from selfj_eval.demo.kinds_text import rewriting, sorting, strings, table
from selfj_eval.demo.rungs import RATINGS, write_answer, write_reference
from selfj_eval.demo.task import Task
from selfj_eval.jobs.options import Options, PathLike, keywords, option
from selfj_eval.jobs.results import Result
from selfj_eval.records.record import Record

Split = Literal["train", "test"]
SPLITS = ("train", "test")

KINDS: dict[str, Callable[[Random], Task]] = {
    "arithmetic": arithmetic,
    "code": code,
    "facts": facts,
    "lists": lists,
    "rewriting": rewriting,
    "sorting": sorting,
    "steps": steps,
    "strings": strings,
    "table": table,
    "units": units,
}
"""Kinds of instruction, in the order in which they take turns."""

TEST_INSTRUCTIONS = 80
"""Instructions of the embedded benchmark: the test split with seed 0."""

MAX_INSTRUCTIONS = 50_000
"""Most instructions of one ladder; all kinds have many more different ones."""


@dataclass(frozen=True, kw_only=True)
class LadderOptions(Options):
    """Which instructions, and how many."""

    split: str = option(
        "test", "which of the two parts of the ladder; the parts share no instruction", SPLITS
    )
    instructions: int = option(
        TEST_INSTRUCTIONS, "how many instructions", low=1, high=MAX_INSTRUCTIONS
    )
    seed: int = option(0, "seed of the sample")


@dataclass(frozen=True, kw_only=True)
class LadderFileOptions(LadderOptions):
    """A ladder for a file."""

    output: PathLike = option(help=".jsonl, .json, .csv or .parquet", placeholder="FILE")


@dataclass(frozen=True)
class LadderFile(Result):
    """A ladder that was written.

    Attributes:
        written: How many records there are: ten an instruction.
        output: The file.
        records: Its records.
    """

    written: int
    output: str
    records: tuple[Record, ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Count and file."""
        return {"records": self.written, "output": self.output}

    def rows(self) -> list[dict[str, Any]]:
        """One row per record."""
        return [record.row() for record in self.records]

    def __str__(self) -> str:
        return f"{self.written:,} records written to {self.output}"


def write_ladder_file(options: LadderFileOptions) -> LadderFile:
    """Write the quality ladder into a file; the defaults give the embedded benchmark.

    Raises:
        StoreError: If the file cannot be written.
    """
    from selfj_eval.errors import printable
    from selfj_eval.records.writing import write_records

    records = _records(options)
    write_records(options.output, records)
    return LadderFile(len(records), printable(options.output), tuple(records))


write_ladder = keywords(write_ladder_file, LadderFileOptions)


def ladder(
    split: Split = "test", *, instructions: int = TEST_INSTRUCTIONS, seed: int = 0
) -> list[Record]:
    """Generate instructions with ten answers each, rated 0 to 9 by construction.

    The same arguments give the same records everywhere, and a smaller ladder is the
    beginning of a larger one with the same seed. No instruction occurs twice. A hash of the
    instruction decides its split, so that the splits share none, whatever the sizes and
    seeds.

    Args:
        split: "train" or "test".
        instructions: Number of instructions, 1 to ``MAX_INSTRUCTIONS``. The kinds take
            turns.
        seed: Another one draws others.

    Returns:
        ``instructions * 10`` records with ids like "ladder-test-0007-3" (number of the
        instruction, rating), ordered by instruction and then rating from 0 to 9.

    Raises:
        OptionError: If ``split`` is unknown or ``instructions`` out of range.
    """
    return _records(LadderOptions(split=split, instructions=instructions, seed=seed))


def _records(options: LadderOptions) -> list[Record]:
    split: Split = "train" if options.split == "train" else "test"
    seed, records = options.seed, list[Record]()
    for number, task in enumerate(_tasks(split, options.instructions, seed)):
        rng = Random(f"selfj-ladder answers {split} {seed} {number}")
        reference = write_reference(task, rng)
        others = [name for name in KINDS if name != task.kind]
        other = _draw(split, rng.choice(others), rng)
        records += (
            Record(
                id=f"ladder-{split}-{number:04d}-{rating}",
                instruction=task.instruction,
                response=write_answer(task, rating, other, rng),
                reference=reference,
                rating=float(rating),
                rating_min=0.0,
                rating_max=9.0,
                category=task.kind,
            )
            for rating in RATINGS
        )
    return records


def demo_records() -> list[Record]:
    """The embedded benchmark: ``TEST_INSTRUCTIONS`` test instructions, seed 0."""
    return ladder("test", instructions=TEST_INSTRUCTIONS, seed=0)


def split_of(instruction: str) -> Split:
    """The split an instruction belongs to: by its hash, one in five is for testing.

    Case and white space do not count.
    """
    normal = " ".join(instruction.casefold().split())
    digest = hashlib.sha256(normal.encode()).digest()
    return "test" if digest[0] % 5 == 0 else "train"


def _tasks(split: Split, count: int, seed: int) -> Iterator[Task]:
    """``count`` tasks of a split with different instructions."""
    kinds = list(KINDS)
    seen: set[str] = set()
    for number in range(count):
        rng = Random(f"selfj-ladder task {split} {seed} {number}")
        task = _draw(split, kinds[number % len(kinds)], rng)
        while task.instruction in seen:
            task = _draw(split, task.kind, rng)
        seen.add(task.instruction)
        yield task


def _draw(split: Split, kind: str, rng: Random) -> Task:
    while True:
        task = KINDS[kind](rng)
        if split_of(task.instruction) == split:
            return task
