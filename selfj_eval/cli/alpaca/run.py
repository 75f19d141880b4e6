"""``selfj alpaca run``: a row of the table from a model's folder, all the way."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from selfj_eval.cli.alpaca.shared import (
    PACKAGES,
    output_folder,
)
from selfj_eval.cli.numbers import whole
from selfj_eval.cli.provenance import digest, provenance
from selfj_eval.documents import read_json
from selfj_eval.errors import DataError, printable
from selfj_eval.terminal import say

if TYPE_CHECKING:
    from selfj_eval.alpaca.table import Row

_EPILOG = """examples:
  selfj alpaca run llama-2-13b-87k --model ./llama-2-13b --adapter ./my-lora --gpt4 --output runs
  selfj alpaca run llama-2-13b-87k --model ./mine --judge oceanpty/Self-J --output runs \\
      --generate="--engine vllm --max-new-tokens 2048"
  selfj alpaca run wizardlm-13b-best-of-32 --model ./wizardlm --judge oceanpty/Self-J --gpt4 \\
      --output runs
  selfj alpaca table --results runs

The model answers AlpacaEval's 805 instructions (selfj generate), a row
that takes the best of n has the judge choose (selfj best-of), and the answers are compared with
both baselines: by the judge (selfj alpaca evaluate), and with --gpt4 by AlpacaEval's own GPT-4
annotators. These ask OpenAI, or the server that OPENAI_BASE_URL names, with the key in
OPENAI_API_KEY: 805 requests a version, which cost money. All steps keep what is finished: run it
again to go on.
Exit status: 0, 1 when answers are missing or unscored, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "run",
        help="fill a row of the table: generate answers, annotate, compute win rates",
        description="Fill a row of the table from a model's folder: generate, choose, annotate.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("row", metavar="ROW", help="a row with `run` in the manifest")
    parser.add_argument("--model", required=True, metavar="MODEL", help="a model folder or hub id")
    parser.add_argument("--adapter", metavar="DIR", help="LoRA adapter to put on the model")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for all results")
    parser.add_argument("--judge", metavar="MODEL", help="compare, and choose the best, by this")
    parser.add_argument(
        "--judge-options",
        default="",
        metavar="=OPTIONS",
        help="how the judge runs, as for selfj best-of: --judge-options='--adapter DIR'",
    )
    parser.add_argument(
        "--temperature", metavar="T", help="of the judge's preferences (selfj alpaca evaluate)"
    )
    parser.add_argument(
        "--gpt4", action="store_true", help="annotate with AlpacaEval's GPT-4 annotators"
    )
    parser.add_argument(
        "--generate", default="", metavar="=OPTIONS", help="more options for selfj generate"
    )
    parser.add_argument("--limit", type=whole, metavar="N", help="only the first N instructions")
    parser.add_argument("--manifest", metavar="FILE", help="other rows than the paper's (YAML)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the steps; returns the exit status."""
    from selfj_eval.alpaca.upstream import alpaca_eval

    row = _row(options)
    alpaca_eval()
    if options.gpt4 and not os.environ.get("OPENAI_API_KEY"):
        raise DataError("--gpt4 needs the key of the server in the environment: OPENAI_API_KEY.")
    _words("--judge-options", options.judge_options)  # wrong: say so before the generation
    if not (options.judge or options.gpt4):
        raise DataError("nothing to compare the answers with: give --judge MODEL, --gpt4 or both.")
    folder = output_folder(options.output) / row.name
    folder.mkdir(exist_ok=True)
    outputs, status = _answers(options, row, folder)
    if status == 2:
        return 2
    for version in ("v1", "v2"):
        if options.judge:
            judged = folder / f"judge_{version}"
            command = ["alpaca", "evaluate", outputs, *_judge(options), "--baseline", version]
            command += ["--output", judged, "--store", folder / "judgments.store"]
            if options.temperature is not None:
                command += ["--temperature", options.temperature]
            status = max(status, _step(*command))
        if options.gpt4 and status < 2:
            status = max(status, _gpt4(options, row, version, outputs))
        if status == 2:
            return 2
    by = [name for name, given in (("the judge", options.judge), ("GPT-4", options.gpt4)) if given]
    say(
        f"row {row.name} has numbers by {' and '.join(by)}: "
        f"selfj alpaca table --results {shlex.quote(options.output)}"
    )
    return status


def _row(options: argparse.Namespace) -> Row:
    from selfj_eval.alpaca.table import manifest_file, read_manifest

    rows = read_manifest(Path(options.manifest) if options.manifest else manifest_file())
    runnable = {row.name: row for row in rows if row.run}
    if options.row not in runnable:
        raise DataError(
            f"no row {options.row!r} that a run can fill; there are: {', '.join(runnable)}."
        )
    row = runnable[options.row]
    if (row.run or {}).get("n", 1) > 1 and not options.judge:
        raise DataError(f"row {row.name} takes the best of several answers: give --judge MODEL.")
    return row


def _answers(options: argparse.Namespace, row: Row, folder: Path) -> tuple[Path, int]:
    """One answer an instruction: its file, and the exit status so far."""
    settings = dict(row.run or {})
    n = int(settings.get("n", 1))
    outputs = folder / "model_outputs.json"
    generated = outputs if n == 1 else folder / "candidates.json"
    command: list[Any] = ["generate", "alpaca_eval", "--model", options.model]
    command += [] if options.adapter is None else ["--adapter", options.adapter]
    command += [] if options.limit is None else ["--limit", options.limit]
    for name, value in settings.items():
        command += [f"--{name.replace('_', '-')}", value]
    # What the user gives counts, but for what the next steps rely on.
    command += _words("--generate", options.generate)
    before = digest(outputs) if outputs.is_file() else None
    status = _step(*command, "--name", row.name, "--output", generated)
    if n > 1 and status < 2:
        command = ["best-of", generated, *_judge(options), "--n", n, "--name", row.name]
        command += ["--output", outputs, "--store", folder / "judgments.store"]
        status = max(status, _step(*command))
    if status < 2 and before is not None and digest(outputs) != before:
        _forget(folder)
    return outputs, status


def _forget(folder: Path) -> None:
    """Remove what other answers gave; what was paid for stays in the caches, by content."""
    for version in ("v1", "v2"):
        for name in (f"gpt4_{version}.json", f"judge_{version}/leaderboard.csv"):
            (folder / name).unlink(missing_ok=True)


def _words(flag: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise DataError(f"{flag}={text}: {error}; write it as on a command line.") from error


def _judge(options: argparse.Namespace) -> list[str]:
    return ["--judge", options.judge, *_words("--judge-options", options.judge_options)]


def _step(*arguments: object) -> int:
    """One command of this package, shown before it runs."""
    from selfj_eval.cli import main

    words = [str(argument) for argument in arguments]
    say(f"$ selfj {shlex.join(words)}")
    return main(words)


def _endpoint() -> str:
    """Host of the server that is asked: another one may not be GPT-4 at all."""
    url = urlsplit(os.environ.get("OPENAI_BASE_URL", ""))
    port = "" if url.port is None else f":{url.port}"
    return f"{url.hostname}{port}" if url.hostname else "OpenAI"


def _cache(result: Path, endpoint: str) -> Path:
    """The cache of a server: AlpacaEval looks annotations up by the texts alone.

    Version 0.1.0 had one for all servers. It is taken over where the result beside it says that
    this server was asked.
    """
    cache = result.with_suffix(f".{re.sub(r'[^A-Za-z0-9.-]', '_', endpoint)}.cache.json")
    old = result.with_suffix(".cache.json")
    if cache.exists() or not old.is_file():
        return cache
    try:
        written = read_json(result)
    except DataError:
        written = None
    asked = written.get("endpoint") if isinstance(written, dict) else None
    if asked == endpoint:
        old.replace(cache)
    else:
        by = f"of {asked}" if asked else "of a server that nothing names"
        say(
            f"selfj: note: {printable(old)} holds annotations {by} and is not used; if {endpoint} "
            f"gave them, rename it to {cache.name}.",
            file=sys.stderr,
        )
    return cache


def _gpt4(options: argparse.Namespace, row: Row, version: str, outputs: Path) -> int:
    from selfj_eval.alpaca import data
    from selfj_eval.alpaca.evaluation import add_length_control, row_of
    from selfj_eval.alpaca.outputs import read_outputs
    from selfj_eval.alpaca.table import result_file
    from selfj_eval.alpaca.upstream import annotate_with_gpt4
    from selfj_eval.writing import write_json

    instructions, baseline = data.evaluation_set(), data.official_baseline(version)
    model = read_outputs(outputs, instructions)
    result = result_file(Path(options.output), row.name, version)
    annotator = data.ANNOTATORS[version]
    say(f"annotating {len(model.outputs) - model.missing} answers with {annotator}")
    annotations = annotate_with_gpt4(
        version, instructions, baseline, model, cache=_cache(result, _endpoint())
    )
    line = row_of(model, annotations, mode="community")
    gamed = data.gamed_baselines() if version == "v2" else None
    reason = add_length_control(line, annotations, gamed, of=len(instructions))
    name = Path(options.model).name + (f"+{Path(options.adapter).name}" if options.adapter else "")
    write_json(result.with_suffix(".annotations.json"), annotations)
    document = {"annotator": annotator, "endpoint": _endpoint(), "model": name, "row": line}
    write_json(result, document | {"no_length_control": reason} | provenance(options, *PACKAGES))
    rate = f"{line['win_rate']:.2f} %" if "win_rate" in line else "undefined"
    say(
        f"  win rate {rate} on {line['n_total']} of {len(instructions)}, "
        f"{line['n_unscored']} unscored, {line['n_missing']} missing; {printable(result)}"
    )
    return int(bool(line["n_unscored"] or line["n_missing"]))
