"""``selfj collect stats``: what a collection holds, as tables and figures."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from selfj_eval.cli.evaluating import table
from selfj_eval.cli.numbers import whole
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.cli.provenance import provenance
from selfj_eval.errors import DataError
from selfj_eval.terminal import say, shown
from selfj_eval.writing import output_folder

_EPILOG = """examples:
  selfj collect stats collection
  selfj collect stats collection --output figures --sample 5000 --parser en_core_web_md
  selfj collect stats collection --sample 0              # without the root verbs

COLLECTION is what `selfj collect run` wrote. Written to DIR: stats.json, sources.csv, stats.md,
stats.html, and as SVG and PNG the figures categories, characters, words and verbs (figures and
page: extra `report`). The root verbs need spaCy (extra `collect`) and one of its pipelines:
python -m spacy download en_core_web_sm. Without them everything else is made.
Exit status: 0; 1 when something was left out for want of a package; 2 for wrong input.
"""
_PACKAGES = ("spacy", "matplotlib", "pyarrow")
_SHOWN_VERBS = 5


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "stats",
        help="sources, categories, lengths and root verbs of a collection: tables and figures",
        description="What a collection holds: sources beside the published counts, categories, "
        "lengths, and the root verbs of a random sample with their first nouns.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("collection", metavar="COLLECTION", help="the collection's folder")
    parser.add_argument("--output", metavar="DIR", help="default: stats in the collection")
    parser.add_argument(
        "--sample",
        type=whole,
        default=30_000,
        metavar="N",
        help="instructions whose root verbs are found (default: 30000; 0: none)",
    )
    parser.add_argument("--seed", type=whole, default=0, help="of the sample (default: 0)")
    parser.add_argument(
        "--parser",
        default="en_core_web_sm",
        metavar="NAME",
        help="spaCy's pipeline, by name or folder (default: en_core_web_sm)",
    )
    parser.add_argument("--json", action="store_true", help="print the whole document")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Count, draw and write; returns the exit status."""
    from selfj_eval.collection.sampling import collection_files
    from selfj_eval.collection.statistics import describe

    if options.sample < 0 or options.seed < 0:
        raise DataError("--sample and --seed must be at least 0.")
    collection = Path(options.collection)
    files = len(collection_files(collection))
    folder = output_folder(options.output or str(collection / "stats"))
    with ProgressLine(files, "counted", "file") as progress:
        document = describe(collection, progress)
    left_out: dict[str, str] = {}
    document["verbs"] = _verbs(options, collection, document["kept"], left_out)
    missing = [name for name in ("matplotlib", "jinja2") if not importlib.util.find_spec(name)]
    if missing:
        left_out["figures"] = (
            f"figures and page need {' and '.join(missing)}: pip install 'selfj-eval[report]'."
        )
    document["left_out"] = left_out
    document["provenance"] = provenance(options, *_PACKAGES)
    written = _write(document, folder, with_figures=not missing)
    for reason in left_out.values():
        say(f"LEFT OUT {shown(reason)}", file=sys.stderr)
    if options.json:
        say(json.dumps(document, allow_nan=False))
    else:
        _print(document)
        say(f"{shown(folder)}: {', '.join(written)}")
    return 1 if left_out else 0


def _verbs(
    options: argparse.Namespace, collection: Path, kept: int, left_out: dict[str, str]
) -> dict[str, Any] | None:
    """The root verbs of the sample; None, and the reason in ``left_out``, without a parser."""
    from selfj_eval.collection.sampling import sample
    from selfj_eval.collection.verbs import open_parser, root_verbs, tabulate

    n = min(options.sample, kept)
    if not n:
        return None
    try:
        parser = open_parser(options.parser)
    except DataError as error:
        left_out["verbs"] = str(error)
        return None
    texts = [row["instruction"] for row in sample(collection, n, seed=options.seed)]
    with ProgressLine(n, "parsed", "instruction") as progress:
        found = tabulate(root_verbs(texts, parser, progress))
    meta = parser.meta
    name = f"{meta['lang']}_{meta['name']} {meta['version']}"
    return {"parser": name, "sample": n, "seed": options.seed, **found}


def _write(document: dict[str, Any], folder: Path, *, with_figures: bool) -> list[str]:
    """Write what there is, and remove what an earlier run left of the rest; the files' names."""
    from selfj_eval.reports import collection as report
    from selfj_eval.reports.collection_figures import NAMES, draw
    from selfj_eval.writing import atomic_write, write_json, write_rows

    figures = draw(document) if with_figures else {}
    contents = {"stats.md": report.markdown(document, figures).encode("utf-8", "replace")}
    if with_figures:
        contents["stats.html"] = report.page(document, figures).encode("utf-8", "replace")
    for name, drawn in figures.items():
        contents |= {f"{name}.svg": drawn.svg, f"{name}.png": drawn.png}
    ours = ["stats.html", *(f"{name}.{kind}" for name in NAMES for kind in ("svg", "png"))]
    for name in ours:
        if name not in contents:
            (folder / name).unlink(missing_ok=True)
    for name, content in contents.items():
        with atomic_write(folder / name) as stream:
            stream.write(content)
    write_rows(folder / "sources.csv", list(report.csv_rows(document)))
    write_json(folder / "stats.json", document)
    return ["stats.json", "sources.csv", *contents]


def _print(document: dict[str, Any]) -> None:
    from selfj_eval.reports.collection import HEADER, number, percent, sections

    lines: list[tuple[str, ...]] = [("", "sources", "kept", "share", "published", "share")]
    for row in document["categories"]:
        counts = (str(row["sources"]), number(row["kept"]), percent(row["share"]))
        theirs = (number(row["published"]), percent(row["published_share"]))
        lines.append((row["name"], *counts, *theirs))
    say(f"{document['kept']:,} instructions\n{table(lines)}\n")
    for category, cells in sections(document):
        say(table([(category["name"], *HEADER[1:]), *([shown(c) for c in row] for row in cells)]))
        say()
    if verbs := document["verbs"]:
        first = ", ".join(
            f"{shown(verb['verb'])} {verb['count']:,}" for verb in verbs["verbs"][:_SHOWN_VERBS]
        )
        say(
            f"root verbs of {verbs['parsed']:,} instructions, {verbs['with_noun']:,} with a noun: "
            f"{first or 'none'}"
        )
    for note in document["notes"]:
        say(f"  note: {shown(note)}")
