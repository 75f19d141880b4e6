"""``selfj best-of``: keep the best of several answers to each instruction."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.evaluating import print_notices, table
from selfj_eval.cli.judging import add_judge_options, judge_options_given, load_judge
from selfj_eval.cli.numbers import whole
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.errors import DataError, StoreError, printable
from selfj_eval.terminal import say, shown

if TYPE_CHECKING:
    from selfj_eval.records import Record

_EXAMPLES = """examples:
  selfj best-of candidates.jsonl --judge demo --output best.json
  selfj best-of model_outputs.json --judge oceanpty/Self-J --n 32 --output best.json
  selfj best-of candidates.scores.jsonl --n 8 --output best.json --curve curve.csv

CANDIDATES has several records with the same instruction, or rows whose `output` or `response` is
a list of answers. Of the first N answers to each instruction the one with the highest score is
kept, the first of them when several tie. The output is AlpacaEval's model_outputs JSON.

The curve says what is expected of the best of 1, 2, 4, ... N: the mean over all ways to draw that
many of the scored answers, all of them, not the first N alone. Watch the length: a judge that
likes long answers chooses them.

Every finished judgment is kept in a store beside the output (OUTPUT.store). After an interruption
run the same command again.
Exit status: 0; 1 when some answers were unscored (they are never kept); 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "best-of",
        help="keep the best of several answers to each instruction",
        description="Best of n: keep the answer to each instruction that a judge scores highest.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "candidates", metavar="CANDIDATES", help="answers: .jsonl, .json, .csv or .parquet"
    )
    parser.add_argument(
        "--judge",
        metavar="MODEL",
        help="'demo', a model folder, or a hub id; may be left out when CANDIDATES has a score "
        "for each answer, as `selfj score` writes it",
    )
    parser.add_argument(
        "--n",
        type=whole,
        metavar="N",
        help="keep the best of the first N (default: as many as every instruction has)",
    )
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="the answers that are kept (.json)"
    )
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="`generator` in the output (default: the candidates' model, -best-of- and N)",
    )
    parser.add_argument("--curve", metavar="FILE", help="write the curve too (.csv)")
    add_judge_options(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Keep the best; returns the exit status."""
    from selfj_eval.best_of import (
        choose_n,
        curve,
        group,
        rating_scale,
        read_candidates,
        read_scored_candidates,
    )
    from selfj_eval.notices import Notices
    from selfj_eval.writing import check_output, write_json, write_rows

    source = Path(options.candidates)
    output = check_output(options.output, formats=(".json",), inputs=(source,))
    store_file = Path(options.store or f"{output}.store")
    if store_file.resolve() in {source.resolve(), output.resolve()}:
        raise StoreError(
            f"the store {store_file} must be another file than the candidates {source} and the "
            f"output {output}; name another --store."
        )
    if options.curve:
        check_output(options.curve, formats=(".csv",), inputs=(source, output, store_file))
    notices = Notices()
    if options.judge is None:
        if given := judge_options_given(options):
            message = f"{', '.join(given)}: for a judge that runs; give --judge, or leave it out."
            raise DataError(message)
        records, scores, errors = read_scored_candidates(source, notices=notices)
    else:
        records = read_candidates(source, notices=notices)
    # Everything that can be wrong with the options, before any work is done.
    n = choose_n(records, options.n)
    name = options.name or _name(records, n, source)
    if options.judge is not None:
        scores, errors = _judged(options, records, store_file)
    candidates = group(records, scores)
    kept = [(c.instruction, c.best(n)) for c in candidates]
    best = [pair for _, pair in kept if pair is not None]
    if not best:
        raise DataError(
            f"none of the first {n:,} answers to any instruction has a score, nothing was written; "
            f"the first of {len(errors):,} reasons: {shown(errors[0])}",
            path=source,
        )
    found = curve(candidates, n)
    write_json(output, [_row(record, name) for record, _ in best])
    written = [output]
    print_notices(printable(source), notices.sentences())
    if options.curve:
        write_rows(options.curve, found.rows)
        written.append(Path(options.curve))
    summary = {
        "instructions": len(candidates),
        "candidates": len(records),
        "unscored": len(errors),
        "errors": errors,
        "n": n,
        "generator": name,
        "kept": len(best),
        "kept_mean_score": sum(score for _, score in best) / len(best),
        "without_answer": [text for text, pair in kept if pair is None],
        "curve": found.rows,
        "curve_cut": found.cut,
        "rating_scale": rating_scale([r for c in candidates for r, _ in c.scored]),
        "written": [printable(path) for path in written],
    }
    if options.json:
        say(json.dumps(summary, allow_nan=False))
    else:
        _print_summary(summary)
    return 1 if errors else 0


def _judged(
    options: argparse.Namespace, records: Sequence[Record], store_file: Path
) -> tuple[list[float | None], list[str]]:
    from selfj_eval.store import JudgmentStore

    with JudgmentStore(store_file) as store:
        judge = load_judge(options, store)
        with ProgressLine(len(records), "judged") as progress:
            judgments = judge.judge(records, progress=progress)
    return [j.score for j in judgments], [f"{j.id}: {j.error}" for j in judgments if j.error]


def _name(records: Sequence[Record], n: int, source: Path) -> str:
    models = sorted({record.model or "" for record in records})
    if len(models) == 1 and models[0]:
        return f"{models[0]}-best-of-{n}"
    several = ", ".join(repr(model) for model in models if model) or "no model"
    what = f"the candidates name {several}"
    what += ", and some none" if len(models) > 1 and "" in models else ""
    raise DataError(f"{what}; say with --name what to call their best.", path=source)


def _row(record: Record, name: str) -> dict[str, str]:
    row = {"instruction": record.instruction, "output": record.response, "generator": name}
    return row if record.category is None else {"dataset": record.category, **row}


def _print_summary(summary: Mapping[str, Any]) -> None:
    from selfj_eval.best_of import brief_text

    say(
        f"{summary['instructions']:,} instructions, {summary['candidates']:,} candidates; kept the "
        f"best of the first {summary['n']:,}: {summary['kept']:,} answers"
        f", mean score {summary['kept_mean_score']:.3f}"
    )
    rows = summary["curve"]
    say(f"expected of the best of n, over {rows[0]['instructions']:,} instructions:")
    titles = {"score": "score", "rating": f"rating ({summary['rating_scale']})"}
    titles["characters"] = "characters"
    columns = [name for name in titles if rows[0][name] is not None]
    lines = [["n", *(cell for name in columns for cell in (titles[name], "std. error"))]]
    for row in rows:
        digits = {name: 0 if name == "characters" else 3 for name in columns}
        cells = [
            "-" if row[key] is None else f"{row[key]:,.{digits[name]}f}"
            for name in columns
            for key in (name, f"{name}_se")
        ]
        lines.append([str(row["n"]), *cells])
    say(table(lines))
    if summary["curve_cut"]:
        say(f"  note: {shown(summary['curve_cut'])}")
    for title, items in (
        ("UNSCORED", summary["errors"]),
        ("WITHOUT AN ANSWER", [brief_text(text) for text in summary["without_answer"]]),
    ):
        if items:
            say(f"  {title}  {len(items):,}")
            say("\n".join(f"    {shown(item)}" for item in items[:10]))
        if len(items) > 10:
            say(f"    ... and {len(items) - 10:,} more, all with --json")
    say(f"  written to  {' and '.join(summary['written'])}")
