"""``selfj ladder``: write the embedded benchmark as a file of records."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.numbers import whole
from selfj_eval.terminal import say


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "ladder",
        help="write the embedded benchmark to a file",
        description="Write the quality ladder: instructions with ten answers each, rated 0 to 9 "
        "by construction. The defaults give the embedded benchmark.",
        epilog="example: selfj ladder --output ladder.jsonl",
    )
    parser.add_argument(
        "--output", required=True, metavar="FILE", help=".jsonl, .json, .csv or .parquet"
    )
    parser.add_argument("--split", choices=["train", "test"], default="test")
    parser.add_argument("--instructions", type=whole, metavar="N", help="how many (default: 80)")
    parser.add_argument("--seed", type=whole, default=0)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the file; returns the exit status."""
    from selfj_eval.demo import MAX_INSTRUCTIONS, TEST_INSTRUCTIONS, ladder
    from selfj_eval.errors import DataError
    from selfj_eval.writing import write_records

    number = TEST_INSTRUCTIONS if options.instructions is None else options.instructions
    if not 1 <= number <= MAX_INSTRUCTIONS:
        raise DataError(f"--instructions must be in 1..{MAX_INSTRUCTIONS}, got {number}.")
    records = ladder(options.split, instructions=number, seed=options.seed)
    write_records(options.output, records)
    say(f"{len(records):,} records written to {options.output}")
    return 0
