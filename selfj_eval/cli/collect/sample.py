"""``selfj collect sample``: random instructions of a collection."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from selfj_eval.cli.evaluating import table
from selfj_eval.cli.numbers import whole
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.cli.provenance import digest, provenance
from selfj_eval.cli.safe_csv import add_safe_csv, check_safe_csv
from selfj_eval.errors import DataError, printable
from selfj_eval.terminal import say

_EPILOG = """examples:
  selfj collect sample collection --n 87000 --output sft.jsonl       # instruction tuning
  selfj collect sample collection --n 30000 --exclude sft.jsonl --output judge.jsonl

The seed and the ids alone decide which instructions are drawn and in which order: the same on any
number of workers, and a smaller sample is the beginning of a larger one. Rows have id, instruction,
source and category: what selfj generate and selfj label read.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "sample",
        help="draw random instructions for training",
        description="Draw random instructions of a collection.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("collection", metavar="DIR", help="folder that selfj collect run wrote")
    add("--n", type=whole, required=True, metavar="N", help="how many")
    add("--output", required=True, metavar="FILE", help=".jsonl, .json, .csv or .parquet")
    add_safe_csv(parser)
    add("--seed", type=whole, default=0, help="another seed draws others (default: 0)")
    add("--category", action="append", choices=["Common", "Coding", "Academic"], help="only these")
    add(
        "--exclude",
        action="append",
        default=[],
        metavar="FILE",
        help="a sample whose instructions are not drawn again; may be repeated",
    )
    add("--workers", type=whole, default=1, metavar="N", help="processes that read (default: 1)")
    add("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw the sample; returns the exit status."""
    from selfj_eval.collection.sampling import collection_files, sample
    from selfj_eval.collection.sources import CATEGORIES
    from selfj_eval.reading import iter_rows
    from selfj_eval.writing import check_output, run_file, write_json, write_rows

    folder, exclude = Path(options.collection), set[str]()
    files = collection_files(folder)
    if not (folder / "summary.json").is_file():
        message = (
            "has no summary.json: the collection is not finished. Run selfj collect run again."
        )
        raise DataError(message, path=folder)
    output = check_output(options.output, inputs=[*options.exclude, *files])
    check_safe_csv(options, output)
    for file in options.exclude:
        for place, row in iter_rows(Path(file), fields=("id",)):
            if not isinstance(row.get("id"), str):
                message = "expected the id of an instruction, a text."
                raise DataError(message, path=file, place=place, field="id")
            exclude.add(row["id"])
    with ProgressLine(len(files), "read", "file") as progress:
        rows = sample(
            folder,
            options.n,
            seed=options.seed,
            categories=options.category or CATEGORIES,
            exclude=exclude,
            workers=options.workers,
            progress=progress,
        )
    write_rows(output, rows, safe_csv=options.safe_csv)
    counts = Counter(row["category"] for row in rows)
    summary = {"n": len(rows), "seed": options.seed, "excluded": len(exclude)}
    summary |= {"categories": {name: counts[name] for name in CATEGORIES}}
    summary |= {"output": printable(output), "sha256": digest(output)}
    write_json(run_file(output), summary | {"collection": printable(folder)} | provenance(options))
    if options.json:
        say(json.dumps(summary))
    else:
        say(f"{summary['output']}: {len(rows):,} instructions, seed {options.seed}")
        say(table([(name, f"{counts[name]:,}") for name in CATEGORIES]))
    return 0
