"""``selfj report``: one HTML page on one or more judges."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import Any

from selfj_eval.cli.evaluating import add_options, settings_from
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.errors import DataError, printable
from selfj_eval.terminal import say, shown
from selfj_eval.writing import atomic_write, check_output

_EXAMPLES = """examples:
  selfj report scores.jsonl --output report.html
  selfj report mine.jsonl theirs.jsonl --ratings gpt4.csv --output report.html

The page stands alone: no script, no network, figures inside. It needs the extra `report`
(pip install "selfj-eval[report]").
Exit status: 0; 1 when a judge has no answer with a score and a rating; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "report",
        help="an HTML page with figures on one or more judges",
        description="Write one self-contained HTML page on one or more judges.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scores", nargs="+", metavar="SCORES", help="scored answers, one a judge")
    parser.add_argument("--output", required=True, metavar="FILE", help="the page (.html)")
    parser.add_argument("--title", default="Self-J evaluation", help="of the page")
    parser.add_argument(
        "--texts",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show the texts of the worst disagreements (default: yes)",
    )
    add_options(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    settings = settings_from(options)
    inputs = (*options.scores, options.ratings)
    output = check_output(options.output, formats=(".html",), inputs=inputs)
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        message = f"a report needs {error.name}: pip install 'selfj-eval[report]'."
        raise DataError(message) from error
    from selfj_eval.report import report, work
    from selfj_eval.scores import read_scores

    judges = [read_scores(path, ratings=options.ratings) for path in options.scores]
    with ProgressLine(work(judges, settings), "evaluated", "resample") as progress:
        page = report(
            judges,
            settings,
            title=options.title,
            texts=options.texts,
            command=printable(shlex.join(["selfj", *options.argv])),
            progress=progress,
        )
    content = page.encode("utf-8", "replace")
    with atomic_write(output) as stream:
        stream.write(content)
    empty = [scores.path for scores in judges if not scores.rated]
    summary = {"judges": len(judges), "bytes": len(content), "output": printable(output)}
    summary["without_ratings"] = empty
    if options.json:
        say(json.dumps(summary))
    else:
        say(f"{summary['output']}: {len(content) / 1000:,.0f} kB, judges: {len(judges)}")
        for path in empty:
            say(f"  note: no answer of {shown(path)} has a score and a rating")
    return 1 if empty else 0
