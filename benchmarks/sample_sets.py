"""Write a part of each rated set: a few models' answers to the same instructions.

A judge of 135 million parameters needs hours for whole sets on a CPU. The parts keep what an
agreement within a model needs: the same instructions for all chosen models.

example:
  python benchmarks/sample_sets.py --sets arena_bench mtbench --models 4 --output parts
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

from rated_sets import read_set

from selfj_eval import Record
from selfj_eval.records.writing import write_records


def main() -> None:
    """Choose and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--models", type=int, default=4, help="per set (default: %(default)s)")
    parser.add_argument("--instructions", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--output", type=Path, required=True, help="folder, a file per set")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        chosen = part(read_set(name), options.models, options.instructions)
        write_records(options.output / f"{name}.jsonl", chosen)
        print(f"{name}: {len(chosen)} answers")


def part(records: list[Record], models: int, instructions: int) -> list[Record]:
    """The answers, with reference, of some models to some instructions; the same ones each time.

    A set that does not say which model answered gives as many answers.
    """
    referred = [r for r in records if r.reference is not None]
    names = sorted({r.model for r in referred if r.model is not None})
    if not names:
        return Random(0).sample(referred, min(models * instructions, len(referred)))
    of_models = set(Random(0).sample(names, min(models, len(names))))
    known = [r for r in referred if r.model in of_models]
    texts = sorted({r.instruction for r in known})
    asked = set(Random(1).sample(texts, min(instructions, len(texts))))
    return [r for r in known if r.instruction in asked]


if __name__ == "__main__":
    main()
