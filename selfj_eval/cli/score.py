"""``selfj score``: judge the answers in a file."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from selfj_eval.backends.opening import ENGINES
from selfj_eval.cli.judging import add_judge_options, load_judge
from selfj_eval.cli.numbers import whole
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.cli.provenance import digest
from selfj_eval.cli.safe_csv import add_safe_csv, check_safe_csv
from selfj_eval.cli.score_folder import (
    add_worker_options,
    fields_named,
    refuse_worker_options,
    run_of,
    score_folder,
    summary_of,
)
from selfj_eval.errors import DataError, StoreError
from selfj_eval.terminal import say, shown

_EXAMPLES = """examples:
  selfj score answers.jsonl --judge demo
  selfj score answers.parquet --judge oceanpty/Self-J --output scores.parquet
  selfj score model_outputs.json --judge ./my-judge --adapter ./my-lora --no-reference
  selfj score answers.csv --judge demo --field instruction=prompt --field response=output
  selfj score answers/ --judge oceanpty/Self-J --engine vllm --output scores/
  selfj score answers/ --judge oceanpty/Self-J --engine ray --workers 8 --worker-gpus 1

A record has: id, instruction, response, and if known reference, rating, rating_min, rating_max,
model, category. lm-eval's samples_*.jsonl and AlpacaEval's model_outputs JSON are read as they are.

INPUT may be a folder of Parquet files: each gets a scores file of its own name in the folder
OUTPUT. JSONL and Parquet are never held in memory whole.

Every finished judgment is kept in a store beside the output (OUTPUT.store). After an
interruption run the same command again: nothing finished is lost or computed twice.
Exit status: 0 when every record was judged, 1 when some were not, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "score",
        help="judge the answers in a file",
        description="Judge the answers in a file: a score from 0 to 9 for each.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="records: .jsonl, .json, .csv or .parquet, or a folder of .parquet files",
    )
    parser.add_argument(
        "--judge",
        required=True,
        metavar="MODEL",
        help="'demo', a model folder, a hub id, or the model's name at a server (--engine openai)",
    )
    add_judge_options(parser, "--adapter")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="judgments: .jsonl, .json, .csv or .parquet (default: INPUT.scores.jsonl, beside "
        "INPUT); of a folder: a folder (default: INPUT.scores)",
    )
    add_safe_csv(parser)
    add_judge_options(parser, "--reference")
    parser.add_argument(
        "--field",
        action="append",
        default=[],
        metavar="FIELD=NAME",
        help="the record field FIELD is called NAME in the file; may be repeated",
    )
    add_judge_options(parser, "--template", "--max-tokens", "--allow-markers")
    parser.add_argument("--limit", type=whole, metavar="N", help="only the first N records")
    add_judge_options(parser, "--store", "--revision", "--dtype", "--device", "--batch-tokens")
    add_judge_options(parser, "--trust-remote-code")
    parser.add_argument(
        "--engine",
        default="transformers",
        choices=[*ENGINES, "ray"],
        help="what runs the judge: transformers, vllm, openai (a judge behind an OpenAI-compatible "
        "server), or ray: workers on one or many machines, for a folder (default: transformers)",
    )
    add_judge_options(parser, "--engine-arg")
    add_worker_options(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Judge the file or the folder; returns the exit status."""
    path, store = Path(options.input), None
    if path.is_dir():
        check_safe_csv(options, path)
        summary = score_folder(options, path)
    else:
        summary, store = _file(options, path)
    if options.json:
        say(json.dumps(summary))
    else:
        _print_summary(summary, store)
    return 0 if summary["unscored"] == 0 else 1


def _file(options: argparse.Namespace, path: Path) -> tuple[dict[str, Any], Path]:
    from selfj_eval.scoring import Source, score_file
    from selfj_eval.store import JudgmentStore
    from selfj_eval.writing import check_output, run_file, write_json

    output = check_output(options.output or f"{path}.scores.jsonl")
    check_safe_csv(options, output)
    store_file = Path(options.store or f"{output}.store")
    if len({file.resolve() for file in (path, output, store_file)}) < 3:
        raise StoreError(
            f"the input {path}, the output {output} and the store {store_file} must be three "
            "different files; name another --output or --store."
        )
    if options.engine == "ray":
        raise DataError(
            "is one file, but workers share the files of a folder; give a folder of Parquet files.",
            path=path,
        )
    refuse_worker_options(options)
    if options.limit is not None and options.limit < 1:
        raise DataError(f"--limit must be at least 1, got {options.limit}.")
    source = Source(path, fields_named(options.field), options.limit)
    survey = source.survey()
    if not survey.records:
        raise DataError("holds no records.", path=path)
    with JudgmentStore(store_file) as store:
        judge = load_judge(options, store)
        start = time.monotonic()
        with ProgressLine(survey.records, "judged") as progress:
            how = {"progress": progress, "safe_csv": options.safe_csv}
            totals = score_file(judge, source, output, survey=survey, **how)
        seconds = time.monotonic() - start
    run = run_of(options, judge.description, path) | {"input_sha256": digest(path)}
    write_json(run_file(output), run)
    return summary_of(totals, output, seconds, judge.backend.usage, survey.notices), store_file


def _print_summary(summary: dict[str, Any], store: Path | None) -> None:
    scored, records = summary["scored"], summary["records"]
    known = f", {summary['from_store']:,} of them from the store" if summary["from_store"] else ""
    failed = "NOTHING WAS JUDGED: " if records and not scored else ""
    say(
        f"{failed}{scored:,} of {records:,} records judged{known}; this run took "
        f"{summary['seconds']:.1f} s"
    )
    if scored:
        say(f"  mean score      {summary['mean_score']:.3f} (0 to 9)")
        say(f"  mean digit mass {summary['mean_digit_mass']:.4f}", end="")
        low = summary["mean_digit_mass"] < 0.5
        say("  (low: is this model a judge?)" if low else "")
        say(f"  with reference  {summary['with_reference']:,}")
        say(f"  trimmed         {summary['trimmed']:,}")
    if summary["unscored"]:
        say(f"  UNSCORED        {summary['unscored']:,}")
        for error in summary["errors"][:10]:
            say(f"    {shown(error)}")
        if summary["unscored"] > 10:
            say(f"    ... and {summary['unscored'] - 10:,} more in the output's field 'error'")
    for sentence in summary["notices"]:
        say(f"  note: {shown(sentence)}")
    for name, value in summary["usage"].items():
        say(f"  {name.replace('_', ' '):<15} {value:,.10g}")
    kept = "" if store is None else f" (judgments kept in {store})"
    say(f"  written to      {summary['output']}{kept}")
    if summary["rated"] and store is not None:
        say(f"  {summary['rated']:,} records have a rating: selfj eval {summary['output']}")
