"""``selfj score``: judge the answers in a file."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.judging import add_judge_options, load_judge
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.cli.provenance import digest, provenance
from selfj_eval.errors import DataError, StoreError, printable

if TYPE_CHECKING:
    from selfj_eval.judge import Judge
    from selfj_eval.records import Judgment

_EXAMPLES = """examples:
  selfj score answers.jsonl --judge demo
  selfj score answers.parquet --judge oceanpty/Self-J --output scores.parquet
  selfj score model_outputs.json --judge ./my-judge --adapter ./my-lora --no-reference
  selfj score answers.csv --judge demo --field instruction=prompt --field response=output

A record has: id, instruction, response, and if known reference, rating, rating_min, rating_max,
model, category. lm-eval's samples_*.jsonl and AlpacaEval's model_outputs JSON are read as they are.

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
    parser.add_argument("input", metavar="INPUT", help="records: .jsonl, .json, .csv or .parquet")
    parser.add_argument(
        "--judge", required=True, metavar="MODEL", help="'demo', a model folder, or a hub id"
    )
    add_judge_options(parser, "--adapter")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="judgments: .jsonl, .json, .csv or .parquet (default: INPUT.scores.jsonl, beside "
        "INPUT)",
    )
    add_judge_options(parser, "--reference")
    parser.add_argument(
        "--field",
        action="append",
        default=[],
        metavar="FIELD=NAME",
        help="the record field FIELD is called NAME in the file; may be repeated",
    )
    add_judge_options(parser, "--template", "--max-tokens", "--allow-markers")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N records")
    add_judge_options(parser, "--store", "--revision", "--dtype", "--device", "--batch-tokens")
    add_judge_options(parser, "--trust-remote-code", "--engine", "--engine-arg")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Judge the file; returns the exit status."""
    from selfj_eval.reading import read_records
    from selfj_eval.store import JudgmentStore
    from selfj_eval.writing import check_output, run_file, write_json, write_judgments

    source = Path(options.input)
    output = check_output(options.output or f"{source}.scores.jsonl")
    store_file = Path(options.store or f"{output}.store")
    if len({path.resolve() for path in (source, output, store_file)}) < 3:
        raise StoreError(
            f"the input {source}, the output {output} and the store {store_file} must be three "
            "different files; name another --output or --store."
        )
    records = read_records(source, names=_names(options.field))
    if options.limit is not None:
        if options.limit < 1:
            raise DataError(f"--limit must be at least 1, got {options.limit}.")
        records = records[: options.limit]
    with JudgmentStore(store_file) as store:
        judge = load_judge(options, store)
        keys = [judge.key(record) for record in records]
        kept = store.get(sorted(set(keys)))
        stored = sum(key in kept for key in keys)
        start = time.monotonic()
        with ProgressLine(len(records), "judged") as progress:
            judgments = judge.judge(records, progress=progress)
        seconds = time.monotonic() - start
    write_judgments(output, records, judgments)
    write_json(run_file(output), _run_of(options, judge, source))
    summary = _summary(judgments) | {"from_store": stored, "seconds": round(seconds, 2)}
    summary["output"] = printable(output)
    summary["rated"] = sum(record.rating is not None for record in records)
    if options.json:
        print(json.dumps(summary))
    else:
        _print_summary(summary, store_file)
    return 0 if summary["unscored"] == 0 else 1


def _run_of(options: argparse.Namespace, judge: Judge, source: Path) -> dict[str, Any]:
    """How the scores were made: what a report says of where they come from."""
    return {
        "judge": {
            "model": options.judge,
            "revision": options.revision,
            "adapter": options.adapter,
            "template": judge.template.name,
            "reference": options.reference,
            "max_tokens": judge.max_tokens,
            "identity": dict(judge.backend.identity),
        },
        "input": printable(source),
        "input_sha256": digest(source),
        **provenance(options, "torch", "transformers", "peft"),
    }


def _names(fields: list[str]) -> dict[str, str]:
    names = {}
    for item in fields:
        field, equals, name = item.partition("=")
        if not (field and equals and name):
            raise DataError(f"--field takes FIELD=NAME, such as response=output; got {item!r}.")
        names[field] = name
    return names


def _summary(judgments: list[Judgment]) -> dict[str, Any]:
    scored = [j for j in judgments if j.score is not None]
    mean = sum(j.score or 0.0 for j in scored) / len(scored) if scored else None
    mass = sum(j.digit_mass or 0.0 for j in scored) / len(scored) if scored else None
    return {
        "records": len(judgments),
        "scored": len(scored),
        "unscored": len(judgments) - len(scored),
        "with_reference": sum(j.reference_used for j in scored),
        "trimmed": sum(j.trimmed_tokens > 0 for j in scored),
        "mean_score": mean,
        "mean_digit_mass": mass,
        "errors": [f"{j.id}: {j.error}" for j in judgments if j.error],
    }


def _print_summary(summary: dict[str, Any], store: Path) -> None:
    scored, records = summary["scored"], summary["records"]
    known = f", {summary['from_store']:,} of them before" if summary["from_store"] else ""
    print(
        f"{scored:,} of {records:,} records judged{known}; this run took {summary['seconds']:.1f} s"
    )
    if scored:
        print(f"  mean score      {summary['mean_score']:.3f} (0 to 9)")
        print(f"  mean digit mass {summary['mean_digit_mass']:.4f}", end="")
        low = summary["mean_digit_mass"] < 0.5
        print("  (low: is this model a judge?)" if low else "")
        print(f"  with reference  {summary['with_reference']:,}")
        print(f"  trimmed         {summary['trimmed']:,}")
    if summary["unscored"]:
        print(f"  UNSCORED        {summary['unscored']:,}")
        for error in summary["errors"][:10]:
            # Ids come from the data: no control character of theirs reaches the terminal.
            print("    " + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in error))
        if len(summary["errors"]) > 10:
            print(f"    ... and {len(summary['errors']) - 10:,} more in the output's field 'error'")
    print(f"  written to      {summary['output']} (judgments kept in {store})")
    if summary["rated"]:
        print(f"  {summary['rated']:,} records have a rating: selfj eval {summary['output']}")
