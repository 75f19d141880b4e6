"""``selfj alpaca rank``: the stored models ranked, and agreement with GPT-4's rankings."""

from __future__ import annotations

import argparse
import copy
import json
import re
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
from selfj_eval.cli.numbers import whole
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.cli.provenance import provenance
from selfj_eval.errors import DataError, printable
from selfj_eval.formulas import guarded
from selfj_eval.terminal import say, shown

if TYPE_CHECKING:
    from selfj_eval.store import JudgmentStore

_EPILOG = """examples:
  selfj alpaca rank --scorer length --output ranking
  selfj alpaca rank --scorer length --scorer oceanpty/Self-J --output ranking

Scores the stored outputs of all models (182 x 805) and both baselines, ranks the models by mean
score and by win rate, and compares with GPT-4's AlpacaEval 1 and 2 rankings, raw and
length-controlled: Spearman, Kendall's tau-b and rank-biased overlap with bootstrap intervals over
instructions, for the models of the first AlpacaEval 2 leaderboard ("release") and for all.
`length` is the null model: the longer answer is better. Judgments are kept in DIR/judgments.store:
after an interruption run it again.
Exit status: 0, 1 when answers were unscored, 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "rank",
        help="rank AlpacaEval's stored models, and compare with GPT-4's rankings",
        description="Rank AlpacaEval's stored models, and compare with GPT-4's rankings.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scorer",
        action="append",
        required=True,
        metavar="SCORER",
        help="'length', 'demo', a judge's folder or hub id; may be repeated",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of CSVs and figure")
    add_judging(parser)
    parser.add_argument("--resamples", type=whole, default=1000, metavar="N", help="default: 1000")
    parser.add_argument("--seed", type=whole, default=0, help="of the bootstrap (default: 0)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Rank with each scorer; returns the exit status."""
    from selfj_eval.alpaca import data
    from selfj_eval.alpaca.figure import check_can_draw, draw
    from selfj_eval.store import JudgmentStore
    from selfj_eval.writing import write_json, write_rows

    check_temperature(options)
    check_can_draw()
    if options.resamples < 20:
        raise DataError(f"--resamples must be at least 20, got {options.resamples}.")
    if options.seed < 0:
        raise DataError(f"--seed must be at least 0, got {options.seed}.")
    names = [_file_name(name) for name in options.scorer]
    if len(set(names)) < len(names):
        raise DataError(f"two --scorer would share a file name: {', '.join(names)}.")
    folder = output_folder(options.output)
    instructions, models = data.evaluation_set(), data.stored_outputs()
    documents = []
    judged = any(name != "length" for name in options.scorer)
    file = options.store or folder / "judgments.store"
    with JudgmentStore(file if judged else ":memory:") as store:
        for scorer_name in options.scorer:
            documents.append(_rank(options, scorer_name, instructions, models, store))
    for name, document in zip(names, documents, strict=True):
        # GPT-4's numbers are in the official leaderboards, and with --json.
        rows = [
            {
                k: guarded(v) if isinstance(v, str) else v
                for k, v in r.items()
                if not k.startswith("gpt4_")
            }
            for r in document["models"]
        ]
        write_rows(folder / f"models_{name}.csv", rows)
    write_rows(folder / "agreement.csv", [r for d in documents for r in d["agreement"]])
    left_out = ("models", "agreement", "errors")
    about = [{k: v for k, v in d.items() if k not in left_out} for d in documents]
    write_json(folder / "ranking.json", {"scorers": about} | provenance(options, *PACKAGES))
    draw(documents, folder / "ranking.svg")
    if options.json:
        say(json.dumps(documents, allow_nan=False))
    else:
        for document in documents:
            _print(document)
        say(f"written to {printable(folder)}: agreement.csv, models_*.csv, ranking.svg")
    return int(any(document["unscored"] for document in documents))


def _rank(
    options: argparse.Namespace, name: str, instructions: Any, models: Any, store: JudgmentStore
) -> dict[str, Any]:
    from selfj_eval.alpaca.ranking import rank, score_models, work
    from selfj_eval.alpaca.scorers import LengthScorer

    about = None
    if name == "length":
        scorer: Any = LengthScorer()
    else:
        chosen = copy.copy(options)
        chosen.judge = name
        scorer = judge_scorer(chosen, store, instructions)
        about = described(chosen, scorer)
    total = sum(len(a.outputs) - a.missing for a in models) + 2 * len(instructions)
    with ProgressLine(total, f"{scorer.name}: scored", "answer") as progress:
        scored = score_models(scorer, instructions, models, progress)
    with ProgressLine(work(scored, options.resamples), "bootstrap", "evaluation") as progress:
        document = rank(
            scorer,
            scored,
            temperature=options.temperature,
            resamples=options.resamples,
            seed=options.seed,
            progress=progress,
        )
    return document | {"judge": about}


def _file_name(scorer: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]", "_", scorer.rstrip("/").rpartition("/")[2]) or "judge"


def _print(document: dict[str, Any]) -> None:
    say(
        f"{shown(document['scorer'])}: {len(document['models'])} models, "
        f"{document['answers']:,} answers, {document['unscored']:,} unscored, "
        f"{document['missing']:,} missing, {document['trimmed']:,} trimmed to the judge's context"
    )
    lines = [["by", "GPT-4", "models", "n", "Spearman", "", "Kendall", "", "RBO", ""]]
    for row in document["agreement"]:
        cells = [row["by"], row["gpt4"], row["models"], str(row["n_models"])]
        for metric in ("spearman", "kendall_tau_b", "rbo"):
            low, high = row[f"{metric}_low"], row[f"{metric}_high"]
            cells.append("-" if row[metric] is None else f"{row[metric]:.3f}")
            cells.append("" if low is None else f"{low:.3f} to {high:.3f}")
        lines.append(cells)
    say(table(lines))
    for found in document["preferences"]:
        if found["accuracy"] is None:
            say(f"  no single preferences of {found['annotator']} to compare with")
            continue
        fit = "none: preferences do not rise with the score"
        if found["temperature"] is not None:
            fit = f"{found['temperature']:.4g} (log loss {found['log_loss']:.3f} nats)"
        say(
            f"  {found['n_decided']:,} decided preferences of {found['annotator']}: "
            f"{found['accuracy']:.1%} the same way; temperature that fits them, in units of the "
            f"score: {fit}"
        )
    for error in document["errors"][:5]:
        say(f"  UNSCORED {shown(error)}")
    say()
