"""``selfj leaderboard``: collect results of judges into one table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from selfj_eval.terminal import say, shown

_DEFAULT = "leaderboards/judges.csv"
_EXAMPLES = """examples:
  lm_eval --model hf --model_args pretrained=MODEL --tasks judge_bench --output_path results
  selfj leaderboard results
  selfj eval scores.jsonl --json > evaluation.json
  selfj leaderboard results evaluation.json --output mine.csv --markdown mine.md

Rows that the output has already are kept; a result of the same judge on the same data set, with or
without reference and with the same --good-at, replaces its row. Paths of this machine do not get
into the table.
Exit status: 0, or 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "leaderboard",
        help="collect results of judges into one table",
        description="Collect results of judges, from lm-eval and `selfj eval --json`, in one CSV.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results",
        nargs="+",
        metavar="RESULTS",
        help="lm-eval's results_*.json, what `selfj eval --json` printed, or folders of these",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="the table, new or to be added to (default: leaderboards/judges.csv)",
    )
    parser.add_argument("--markdown", metavar="FILE", help="write the table as Markdown too")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Collect the results; returns the exit status."""
    from selfj_eval import leaderboard
    from selfj_eval.errors import printable
    from selfj_eval.writing import atomic_write, check_output

    if options.output is None:
        options.output = _DEFAULT
        Path(_DEFAULT).parent.mkdir(exist_ok=True)
    outputs = [check_output(options.output, formats=(".csv",), inputs=options.results)]
    if options.markdown:
        outputs.append(check_output(options.markdown, formats=(".md",), inputs=options.results))
    before = leaderboard.read_csv(options.output)
    now, left_out = leaderboard.read_results(options.results)
    rows = leaderboard.merge(before, now)
    leaderboard.write_csv(options.output, rows)
    if options.markdown:
        with atomic_write(options.markdown) as stream:
            stream.write(leaderboard.markdown(rows).encode())
    replaced = len({*map(leaderboard.key, before)} & {*map(leaderboard.key, now)})
    summary = {"rows": len(rows), "added": len(now) - replaced, "replaced": replaced}
    written = [printable(path) for path in outputs]
    if options.json:
        say(json.dumps({**summary, "left_out": left_out, "written": written}))
        return 0
    say(f"{len(rows):,} rows: {summary['added']:,} added, {replaced:,} replaced")
    for reason in left_out:
        say(f"  left out    {shown(reason)}")
    say(f"  written to  {' and '.join(written)}")
    return 0
