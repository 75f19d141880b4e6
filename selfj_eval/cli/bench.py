"""``selfj bench``: the correlation table, raters by answering models on sets of rated answers."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.evaluating import check_range, print_notices, table
from selfj_eval.cli.numbers import whole
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.cli.provenance import provenance
from selfj_eval.errors import DataError, printable
from selfj_eval.terminal import say, shown
from selfj_eval.writing import output_folder

if TYPE_CHECKING:
    from selfj_eval.bench.data import BenchSet
    from selfj_eval.bench.running import Settings
    from selfj_eval.raters.specs import Spec

_PACKAGES = (
    *("torch", "transformers", "sentence-transformers", "scikit-learn", "scipy", "numpy"),
    *("vllm", "openai"),
)
_RESAMPLES = (20, 1_000_000)
_TABLE_ONLY: dict[str, Any] = {
    **{"answering": [], "combine": "z", "models": None, "metric": "pearson"},
    **{"confidence": 0.95, "resamples": 1000},
}
"""Options that mean nothing to the robustness suite, with their defaults."""
_EXAMPLES = """examples:
  selfj bench --judges length,tfidf,cosine --data arena_bench --output table
  selfj bench --judges demo,cosine,demo+cosine --data arena_bench,mtbench --output table
  selfj bench --judges ppl,vro,self-eval,cosine,self-eval+cosine --data answers.jsonl \\
      --answering my-7b=./my-7b --output table
  selfj bench --raters raters.yaml --judges gpt-4,ultrarm-13b --data arena_bench --output table
  selfj bench --robust --judges demo,cosine --data arena_bench --output robust

Raters (docs/bench.md):
  length, log-length        characters of the answer: the null rater
  tfidf, cosine[:MODEL]     similarity of answer and reference, by words or sentence embeddings
  ppl[:MODEL], log-ppl      perplexity of the answer given the instruction
  vro[:MODEL]               similarity of the answer to others that the model samples
  self-eval[:MODEL]         the model as judge of its answers, with and without reference
  reward:MODEL              a reward model (sequence classifier with one output)
  demo, a folder, a hub id  a Self-J judge, with and without reference
  a+b, 2*a+b                the sum of raters, each brought on one scale first
  a name of --raters FILE   anything with options, such as a judge behind a server (generative)
Without :MODEL, ppl, vro and self-eval use the model that answered: --answering NAME=MODEL.

Written to DIR: table.md, table.csv, table.tex, table.html (extra: report), bench.json, and a scores
file for every row (scores/SET/RATER.*.parquet, for `selfj eval` and `selfj report`). Finished
work is kept in DIR/*.store: after an interruption run it again; raters and sets may be added.
Exit status: 0 when every answer has a score, 1 when some have none, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "bench",
        help="the correlation table: how well raters agree with ratings, model by model",
        description="The correlation table: raters by answering models, on sets of rated answers.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--judges", required=True, metavar="RATERS", help="raters, with commas between (see below)")
    add(
        "--data",
        required=True,
        metavar="SETS",
        help="sets of judge_bench, such as arena_bench, or files of rated answers; commas between",
    )
    add("--output", required=True, metavar="DIR", help="folder of tables, scores and stores")
    add("--raters", metavar="FILE", help="YAML file that defines more raters")
    add(
        "--answering",
        action="append",
        default=[],
        metavar="NAME=MODEL",
        help="what to load for the answering model NAME of the data; may be repeated",
    )
    add("--embedder", metavar="MODEL", help="of cosine and vro (default: all-MiniLM-L6-v2)")
    add(
        "--combine",
        default="z",
        choices=["z", "rank"],
        help="how scores come on one scale before they are added (default: z, standardised)",
    )
    add("--models", metavar="NAMES", help="only these answering models get a column")
    add(
        "--metric",
        default="pearson",
        choices=["pearson", "spearman"],
        help="what stands in the cells (default: pearson)",
    )
    add(
        "--robust",
        action="store_true",
        help="in place of the table: change answers so that their scores must not rise, and show "
        "how often and how far they do (docs/robustness.md); of 200 answers a set, or --limit",
    )
    add("--limit", type=whole, metavar="N", help="only the first N records of each set")
    add("--confidence", type=float, default=0.95, metavar="C", help="level (default: 0.95)")
    add("--resamples", type=whole, default=1000, metavar="N", help="bootstrap (default: 1000)")
    add("--seed", type=whole, default=0, help="of the bootstrap (default: 0)")
    add("--json", action="store_true", help="print the whole document")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Rate and tabulate; returns the exit status."""
    from selfj_eval.bench import running
    from selfj_eval.bench.data import read_sets
    from selfj_eval.bench.table import tabulate, work
    from selfj_eval.raters.opening import EMBEDDER, Stores
    from selfj_eval.raters.specs import answering_models, parse_raters, read_raters

    _check(options)
    defined = read_raters(options.raters) if options.raters else {}
    specs = parse_raters(options.judges, defined)
    models = None if options.models is None else _split(options.models)
    if models == []:
        raise DataError("--models names no model; leave it out, or name some.")
    limit = None if options.robust else options.limit
    sets = read_sets(_split(options.data), models=models, limit=limit, unrated=options.robust)
    for own in sets:
        print_notices(own.path, own.notices)
    settings = running.Settings(
        answering_models(options.answering), options.embedder or EMBEDDER, options.combine
    )
    folder = output_folder(options.output)
    if options.robust:
        return _robust(options, specs, sets, settings, folder)
    with Stores.of_folder(folder) as stores:
        result = running.run(specs, sets, settings, stores, ProgressLine)
    made = provenance(options, *_PACKAGES)
    files = running.write_scores(folder, sets, result, made)
    missing = running.not_run(specs, sets, result)
    steps = work(sets, result, options.resamples)
    with ProgressLine(steps, "computed", "resample") as progress:
        document = tabulate(
            sets,
            result,
            files,
            not_run=missing,
            metric=options.metric,
            confidence=options.confidence,
            resamples=options.resamples,
            seed=options.seed,
            progress=progress,
        )
    document["provenance"] = made
    written = _write(document, folder)
    if options.json:
        say(json.dumps(document, allow_nan=False))
    else:
        _print(document)
        say(f"written to {printable(folder)}: {', '.join(written)}")
    tables = document["sets"]
    return int(any(t["not_run"] or any(row["unscored"] for row in t["rows"]) for t in tables))


def _robust(
    options: argparse.Namespace,
    specs: list[Spec],
    sets: list[BenchSet],
    settings: Settings,
    folder: Path,
) -> int:
    """The robustness suite; returns the exit status."""
    from selfj_eval.bench.robust import LIMIT, run_robust
    from selfj_eval.raters.opening import Stores
    from selfj_eval.robustness import table as robust_table
    from selfj_eval.writing import atomic_write, write_json

    chosen = {"limit": options.limit or LIMIT, "seed": options.seed}
    with Stores.of_folder(folder) as stores:
        found = run_robust(specs, sets, settings, stores, ProgressLine, **chosen)
    document = {"kind": "selfj-bench-robust", "sets": found}
    document |= {"provenance": provenance(options, *_PACKAGES)}
    write_json(folder / "robust.json", document)
    parts = [
        f"## {robust_table.escaped(name)}\n\n{robust_table.markdown(rows)}"
        for name, rows in found.items()
    ]
    with atomic_write(folder / "robust.md") as stream:
        stream.write("\n".join(parts).encode("utf-8", "replace"))
    if options.json:
        say(json.dumps(document, allow_nan=False))
    else:
        for name, rows in found.items():
            say(f"{shown(name)}\n{robust_table.text(rows)}\n")
        say(f"written to {printable(folder)}: robust.md, robust.json")
    tried = [row for rows in found.values() for row in rows.values()]
    changes = [change for row in tried for change in row["changes"].values()]
    return int(any(part["unscored"] for part in (*changes, *(row["base"] for row in tried))))


def _check(options: argparse.Namespace) -> None:
    check_range("--confidence", options.confidence)
    low, high = _RESAMPLES
    if not low <= options.resamples <= high:
        message = f"--resamples must lie between {low} and {high:,}, got {options.resamples:,}."
        raise DataError(message)
    if options.seed < 0:
        raise DataError(f"--seed must be at least 0, got {options.seed}.")
    if options.limit is not None and options.limit < 1:
        raise DataError(f"--limit must be at least 1, got {options.limit}.")
    given = [name for name, default in _TABLE_ONLY.items() if getattr(options, name) != default]
    if options.robust and given:
        raise DataError(f"--{given[0]} is for the table; leave it out with --robust.")


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _write(document: dict[str, Any], folder: Path) -> list[str]:
    """Write the tables; returns the files' names."""
    from selfj_eval.bench import rendering
    from selfj_eval.reports.bench import page
    from selfj_eval.writing import atomic_write, write_json

    texts = {
        "table.md": rendering.markdown(document),
        "table.csv": rendering.csv_text(document),
        "table.tex": rendering.latex(document),
    }
    html = page(document)
    if html is not None:
        texts["table.html"] = html
    else:
        needed = "note: table.html is left out; it needs: pip install 'selfj-eval[report]'"
        say(needed, file=sys.stderr)
    for name, text in texts.items():
        with atomic_write(folder / name) as stream:
            stream.write(text.encode("utf-8", "replace"))
    write_json(folder / "bench.json", document)
    return [*texts, "bench.json", "scores/"]


def _print(document: dict[str, Any]) -> None:
    from selfj_eval.bench.rendering import caption, interval, notes, number, sections

    for data in document["sets"]:
        say(f"{shown(data['name'])}: {caption(document, data)}")
        columns = [("average", f"mean of {len(data['columns'])} models")] if data["columns"] else []
        columns.append(("pooled", "pooled"))
        for title, rows in sections(data):
            lines: list[tuple[str, ...]] = [(title, *(c for _, t in columns for c in (t, "")))]
            published = bool(data["columns"]) and any(row["published"] for row in rows)
            lines[0] += ("paper", "unscored") if published else ("unscored",)
            for row in rows:
                cells = [c for name, _ in columns for c in (number(row[name]), interval(row[name]))]
                if published:
                    known = row["published"]
                    cells.append(f"{known['average']:.1f}" if known else "")
                lines.append((shown(row["rater"])[:40], *cells, f"{row['unscored']:,}"))
            say(table(lines))
        for row in data["rows"]:
            if data["records"] and row["unscored"] == data["records"]:
                say(f"  NOTHING WAS SCORED by {shown(row['rater'])}")
        for note in notes(data):
            say(f"  note: {shown(note)}")
        say()
