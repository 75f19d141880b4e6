"""``selfj alpaca evaluate``: win rates of one or hundreds of models."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.alpaca.shared import (
    PACKAGES,
    add_judging,
    check_temperature,
    described,
    judge_scorer,
    output_folder,
)
from selfj_eval.cli.evaluating import table
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.cli.provenance import digest, provenance
from selfj_eval.documents import read_json
from selfj_eval.errors import DataError, StoreError, printable
from selfj_eval.terminal import say, shown

if TYPE_CHECKING:
    from selfj_eval.alpaca.data import Answers, EvaluationSet
    from selfj_eval.alpaca.evaluation import ModelResult

_EPILOG = """examples:
  selfj alpaca evaluate model_outputs.json --judge demo --output board
  selfj alpaca evaluate results/*/model_outputs.json --judge oceanpty/Self-J --baseline v1 \\
      --output board1
  selfj alpaca evaluate mine.json --judge demo --baseline theirs.json --output versus

Each file holds one model's outputs: rows with instruction, output, generator. Every answer is
judged once, the baseline's too, and kept in DIR/judgments.store: run it again with more files, or
after an interruption, and only what is new is judged. DIR/leaderboard.csv has AlpacaEval's columns
and can be given to alpaca_eval as --precomputed_leaderboard; DIR/annotations/ has every comparison.
Exit status: 0; 1 when answers were unscored, missing or to unknown instructions; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "evaluate",
        help="win rates of models against a baseline, the judge loaded once",
        description="Win rates of models against a baseline, in AlpacaEval's own columns.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "outputs", nargs="+", metavar="OUTPUTS", help=".json, .jsonl, .csv or .parquet, one a model"
    )
    parser.add_argument(
        "--judge", required=True, metavar="MODEL", help="'demo', a model folder, or a hub id"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--baseline",
        default="v2",
        metavar="B",
        help="v1 (text_davinci_003), v2 (gpt4_1106_preview; default), or a file of outputs, whose "
        "instructions are then the evaluation set",
    )
    parser.add_argument("--name", help="the model's name, where there is one file")
    parser.add_argument(
        "--length-control",
        metavar="FILE",
        help="AlpacaEval's df_gamed.csv (default: the data pack's, for --baseline v2)",
    )
    parser.add_argument(
        "--mode",
        default="community",
        choices=["minimal", "verified", "community", "dev"],
        help="the leaderboard's column of that name (default: community)",
    )
    add_judging(parser)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate the models; returns the exit status."""
    from selfj_eval.alpaca.evaluation import (
        Evaluation,
        file_names,
        read_leaderboard,
        write_leaderboard,
    )
    from selfj_eval.alpaca.outputs import read_outputs
    from selfj_eval.alpaca.upstream import alpaca_eval
    from selfj_eval.store import JudgmentStore
    from selfj_eval.writing import write_json

    check_temperature(options)
    alpaca_eval()  # not there: say so before anything is judged
    if options.name and len(options.outputs) > 1:
        raise DataError("--name is for one file of outputs; put `generator` into the files.")
    instructions, baseline, gamed = _baseline(options)
    models = [read_outputs(path, instructions, name=options.name) for path in options.outputs]
    _refuse_repeated(models, options.outputs)
    folder = output_folder(options.output)
    board = folder / "leaderboard.csv"
    if board.resolve() in {Path(path).resolve() for path in options.outputs}:
        raise StoreError(f"{board} is an input and would be overwritten; name another --output.")
    before = read_leaderboard(board)
    files = file_names([*before, *(m.model for m in models if m.model not in before)])
    with JudgmentStore(options.store or folder / "judgments.store") as store:
        scorer = judge_scorer(options, store, instructions)
        temperature = scorer.temperature if options.temperature is None else options.temperature
        settings = {"judge": described(options, scorer), "temperature": temperature}
        settings["baseline"] = {
            "name": baseline.model,
            "sha256": _digest_of(instructions, baseline),
        }
        settings["length_control"] = None if gamed is None else digest(gamed)
        if before:
            _check_same(folder, settings)
        baseline = _needed(baseline, models)
        total = sum(len(a.outputs) - a.missing for a in (baseline, *models))
        with ProgressLine(total, "judged", "answer") as progress:
            evaluation = Evaluation(
                scorer,
                instructions,
                baseline,
                temperature=temperature,
                gamed=gamed,
                mode=options.mode,
                progress=progress,
            )
            results = [evaluation.evaluate(model) for model in models]
    (folder / "annotations").mkdir(exist_ok=True)
    for result in results:
        name = files[result.model]
        write_json(folder / "annotations" / f"{name}.json", list(result.annotations))
    # Once more, for what another run has put there in the meantime.
    before = read_leaderboard(board)
    if before:
        _check_same(folder, settings)
    replaced = {
        # alpaca_eval writes counts as 805.0 where it has added a line of its own.
        result.model: (int(float(before[result.model].get("n_total", 0))), result.row["n_total"])
        for result in results
        if result.model in before
    }
    rows = before | {result.model: dict(result.row) for result in results}
    sort_by = "win_rate" if gamed is None else "length_controlled_winrate"
    write_json(folder / "run.json", settings | provenance(options, *PACKAGES))
    write_leaderboard(board, rows, sort_by=sort_by)
    return _report(options, results, board, replaced)


def _baseline(options: argparse.Namespace) -> tuple[EvaluationSet, Answers, Path | None]:
    """Evaluation set, baseline, and the file for length control where there is one."""
    from selfj_eval.alpaca import data
    from selfj_eval.alpaca.outputs import check_gamed, read_baseline

    given = None if options.length_control is None else Path(options.length_control)
    if given is not None:
        check_gamed(given)
    if options.baseline in data.BASELINES:
        gamed = data.gamed_baselines() if given is None and options.baseline == "v2" else given
        return data.evaluation_set(), data.official_baseline(options.baseline), gamed
    if not Path(options.baseline).is_file():
        raise DataError(
            f"--baseline {options.baseline}: neither v1 nor v2 nor a file of outputs that is there."
        )
    instructions, baseline = read_baseline(options.baseline)
    if given is not None:
        _check_order(instructions, options.baseline)
    return instructions, baseline, given


def _check_order(instructions: EvaluationSet, path: str) -> None:
    """Length control goes by an instruction's position in AlpacaEval's own order."""
    from selfj_eval.alpaca.data import evaluation_set, is_here

    if not is_here():
        say(
            "note: AlpacaEval's data are not here (`selfj data get alpaca_eval` gets them), so it "
            "cannot be checked that the baseline's instructions are AlpacaEval's own, in its "
            "order, as length control needs them",
            file=sys.stderr,
        )
        return
    official = evaluation_set().instructions
    if instructions.instructions != official:
        pairs = enumerate(zip(instructions.instructions, official, strict=False))
        first = next((k for k, (a, b) in pairs if a != b), min(len(instructions), len(official)))
        raise DataError(
            f"--length-control needs AlpacaEval's {len(official)} instructions in their order; "
            "this file has others, or another order. Leave the option out, or sort the file.",
            path=path,
            place=f"output {first + 1}",
            field="instruction",
        )


def _needed(baseline: Answers, models: list[Answers]) -> Answers:
    """The baseline's answers where a model has one too: the others need not be judged."""
    from dataclasses import replace

    columns = zip(*(model.outputs for model in models), strict=True)
    there = [any(output is not None for output in column) for column in columns]
    kept = zip(baseline.outputs, there, strict=True)
    return replace(baseline, outputs=tuple(text if used else None for text, used in kept))


def _digest_of(instructions: EvaluationSet, baseline: Answers) -> str:
    import hashlib

    texts = [list(instructions.instructions), list(baseline.outputs)]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _refuse_repeated(models: list[Answers], paths: list[str]) -> None:
    seen: dict[str, str] = {}
    for model, path in zip(models, paths, strict=True):
        if model.model in seen:
            raise DataError(
                f"is called {model.model!r}, as is {printable(seen[model.model])}; each model "
                "needs a name of its own (`generator` in the outputs).",
                path=path,
            )
        seen[model.model] = path


def _check_same(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse to put lines into a leaderboard that was made in another way."""
    try:
        made = read_json(folder / "run.json")
    except DataError:
        made = {}
    if not isinstance(made, dict):
        made = {}
    other = [name for name, value in settings.items() if made.get(name) != value]
    if other:
        raise StoreError(
            f"{folder / 'leaderboard.csv'} was made with another {' and another '.join(other)}; "
            "its lines cannot be compared with new ones. Name another --output."
        )


def _report(
    options: argparse.Namespace,
    results: list[ModelResult],
    board: Path,
    replaced: dict[str, tuple[int, Any]],
) -> int:
    left = ("n_unscored", "n_missing", "n_unknown")
    status = int(any(int(result.row[name]) for result in results for name in left))
    errors = list(dict.fromkeys(error for result in results for error in result.errors))
    reasons = {r.model: r.no_length_control for r in results if r.no_length_control}
    if options.json:
        rows = {result.model: dict(result.row) for result in results}
        say(
            json.dumps(
                {
                    "models": rows,
                    "errors": errors,
                    "no_length_control": reasons,
                    "replaced": replaced,
                    "leaderboard": printable(board),
                },
                allow_nan=False,
            )
        )
        return status
    lines = [["", "win rate", "se", "length-contr.", "mean score", "n", "unscored", "missing"]]
    for result in results:
        row = result.row
        rates = ("win_rate", "standard_error", "length_controlled_winrate")
        cells = [shown(result.model), *(_cell(row.get(name)) for name in rates)]
        cells.append(_cell(row.get("mean_score"), 3))
        lines.append([*cells, *(str(row[k]) for k in ("n_total", "n_unscored", "n_missing"))])
    for result in results:
        if not result.row["n_total"]:
            say(f"NOTHING WAS COMPARED of {shown(result.model)}: no answer has a preference")
    say(table(lines))
    for reason in sorted(set(reasons.values())):
        say(f"  no length control: {reason}")
    texts = {
        "n_unknown": "outputs to unknown instructions",
        "n_empty": "empty",
        "n_trimmed": "too long for the judge's prompt: their middle was left out",
    }
    for result in results:
        for name, text in texts.items():
            if result.row[name]:
                say(f"  {shown(result.model)}: {result.row[name]} {text}")
    for model, (n_before, n_now) in replaced.items():
        say(f"  {shown(model)}: replaces a line of {n_before} comparisons with one of {n_now}")
    if errors:
        say(f"  UNSCORED {len(errors):,}")
        for error in errors[:10]:
            say(f"    {shown(error)}")
        if len(errors) > 10:
            say(f"    ... and {len(errors) - 10:,} more (preference null in the annotations)")
    say(f"  written to {printable(board)} and annotations/ beside it")
    return status


def _cell(value: Any, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
