"""``selfj compare``: two judges on the same records."""

from __future__ import annotations

import argparse
import json
from typing import Any

from selfj_eval.cli.evaluating import (
    add_options,
    interval,
    number,
    settings_from,
    table,
    title,
)
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.terminal import say, shown

_EXAMPLES = """examples:
  selfj compare with-reference.jsonl without-reference.jsonl
  selfj compare mine.parquet theirs.csv --ratings gpt4.jsonl --json

Records are matched by id; only those that both scored and that have a rating are compared. Both
judges are computed on the same bootstrap resamples, so that what they share cancels: the interval
of the difference is narrower than the two intervals suggest.
Exit status: 0, or 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "compare",
        help="the difference of two judges on the same records, with intervals",
        description="Every headline metric of two judges on the same records, and the difference.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("first", metavar="A", help="scored answers of the first judge")
    parser.add_argument("second", metavar="B", help="scored answers of the second judge")
    add_options(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare the two files."""
    from selfj_eval.comparison import compare, work
    from selfj_eval.scores import read_scores

    settings = settings_from(options)
    first = read_scores(options.first, ratings=options.ratings)
    second = read_scores(options.second, ratings=options.ratings)
    with ProgressLine(work(first, second, settings), "compared", "resample") as progress:
        document = compare(first, second, settings, progress=progress)
    if options.json:
        say(json.dumps(document, allow_nan=False))
        return 0
    names = [shown(name) for name in document["judges"]]
    say(f"A {names[0]}\nB {names[1]}")
    say(f"{document['counts']['compared']:,} records compared")
    for warning in document["warnings"]:
        say(f"  note: {shown(warning)}")
    level = f"{100 * settings.confidence:g} % interval"
    rows = [("", "A", "B", "A - B", level, "A higher in")]
    for name, d in document["metrics"].items():
        higher = "" if d["first_higher"] is None else f"{d['first_higher']:.1%}"
        gap = d["difference"]
        rows.append(
            (title(name), number(d["first"]), number(d["second"]), number(gap), interval(gap))
            + (higher,)
        )
    say(f"\n{table(rows)}")
    reasons = {d["difference"]["undefined"]: None for d in document["metrics"].values()}
    for reason in reasons:
        if reason:
            say(f"  undefined (-): {shown(reason)}")
    say(f"  bootstrap over {document['settings']['resampled']}")
    return 0
