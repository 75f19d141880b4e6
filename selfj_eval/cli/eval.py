"""``selfj eval``: how well scores agree with ratings, and what they are worth."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from selfj_eval.cli.evaluating import (
    add_options,
    interval,
    number,
    settings_from,
    table,
    title,
)
from selfj_eval.cli.progress import ProgressLine
from selfj_eval.formulas import guarded
from selfj_eval.terminal import say, shown

_EXAMPLES = """examples:
  selfj eval scores.jsonl
  selfj eval scores.jsonl --ratings gpt4.csv --good-at 7
  selfj eval scores.parquet --json > evaluation.json
  selfj eval scores.jsonl --csv evaluation.csv

SCORES is what `selfj score` wrote, any .jsonl, .json, .csv or .parquet with id and score, or
lm-eval's samples_*.jsonl of a selfj_judge_* task. Ratings stand in it or in --ratings. Unscored
answers are left out and counted. Intervals of the headline are bootstrapped over instructions
(over records, where texts are missing). docs/evaluation.md explains every number.
Exit status: 0; 1 when no answer has a score and a rating; 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "eval",
        help="correlation, selective accuracy and calibration of scores",
        description="How well scores agree with ratings, and what they are worth for declining "
        "poor answers.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scores", metavar="SCORES", help="scored answers")
    add_options(parser)
    parser.add_argument("--csv", metavar="FILE", help="also write every metric as a CSV table")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate the file."""
    from selfj_eval.evaluation import evaluate, work
    from selfj_eval.scores import read_scores
    from selfj_eval.writing import atomic_write, check_output

    settings = settings_from(options)
    if options.csv:
        check_output(options.csv, formats=(".csv",), inputs=(options.scores, options.ratings))
    scores = read_scores(options.scores, ratings=options.ratings)
    with ProgressLine(work(scores, settings), "evaluated", "resample") as progress:
        document = evaluate(scores, settings, progress=progress)
    if options.csv:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("scope", "name", "metric", "value", "low", "high", "n", "undefined"))
        writer.writerows(_rows(document))
        with atomic_write(Path(options.csv)) as stream:
            stream.write(text.getvalue().encode())
    if options.json:
        say(json.dumps(document, allow_nan=False))
    else:
        say(summary(document))
    return 0 if document["counts"]["used"] else 1


def summary(document: Mapping[str, Any]) -> str:
    """The evaluation for people, as text."""
    counts, settings = document["counts"], document["settings"]
    level = f"{100 * settings['confidence']:g} % interval"
    parts = [
        f"{shown(document['judge'])}: {counts['records']:,} answers, {counts['scored']:,} scored, "
        f"{counts['unscored']:,} unscored, {counts['used']:,} with score and rating, "
        f"{counts['good']:,} of these good (rated at least {settings['good_at']:g} on "
        f"{settings['good_at_scale']})"
    ]
    parts += [f"  note: {shown(warning)}" for warning in document["warnings"]]
    if not counts["used"]:
        return "\n".join([*parts, "nothing to evaluate: no answer has a score and a rating"])
    rows = [("", "value", level)]
    rows += [(title(k), number(m), interval(m)) for k, m in document["headline"].items()]
    parts += ["", table(rows)]
    reasons = {
        m["undefined"]: None for m in document["headline"].values() if m["undefined"] is not None
    }
    parts += [f"  undefined (-): {shown(reason)}" for reason in reasons]
    if any("low" in m for m in document["headline"].values()):
        parts.append(f"  intervals: bootstrap over {settings['resampled']}; the ECE has none")
    for name, several in (("category", "categories"), ("model", "models")):
        if document[f"by_{name}"]:
            means = document[f"mean_over_{several}"]
            parts += ["", _groups(name, document[f"by_{name}"], means)]
    if document["models"]:
        order = document["models"]
        parts += ["", "order of the models by mean score and by mean rating"]
        parts.append(table([(k, number(m), interval(m)) for k, m in order.items()]))
    parts += ["", _details(document)]
    return "\n".join(parts)


def _groups(name: str, groups: Mapping[str, Any], means: Mapping[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [
        (name, "n", "Spearman", "interval", "tau-b", "AUROC", "AUGRC", "score", "rating 0..9")
    ]
    for key, g in groups.items():
        rho = g["spearman"]
        numbers = (number(g[k]) for k in ("kendall_tau_b", "auroc", "augrc"))
        averages = (f"{g['mean_score']:.2f}", f"{g['mean_rating']:.2f}")
        rows.append((shown(key)[:40], str(g["n"]), number(rho), interval(rho), *numbers, *averages))
    rho, tau = means["spearman"], means["kendall_tau_b"]
    rows.append((f"mean of {rho['n']}", "", number(rho), "", number(tau), "", "", "", ""))
    return table(rows)


def _details(document: Mapping[str, Any]) -> str:
    pairs, selective = document["pairwise"], document["selective"]
    length = document["length"]
    same, ties = pairs["same_instruction"], pairs["same_instruction_ties"]
    rows = [
        ("pairs of answers to the same instruction: accuracy", number(same), interval(same)),
        ("  the same, ties counted (acc23)", number(ties), interval(ties)),
    ]
    for share, metric in selective["accuracy_at_coverage"].items():
        rows.append((f"share of good answers in the best {float(share):.0%}", number(metric), ""))
    for risk, metric in selective["coverage_at_risk"].items():
        rows.append((f"largest coverage with at most {float(risk):.0%} bad", number(metric), ""))
    for name, fit in document["calibration"].items():
        what = "score / 9" if name == "raw" else f"{name}, cross-fitted"
        rows.append((f"ECE of {what}", number(fit["ece"]), ""))
        rows.append((f"Brier score of {what}", number(fit["brier"]), ""))
    for name, what in (
        ("score_length", "Spearman of score and answer length"),
        ("rating_length", "Spearman of rating and answer length"),
        ("score_rating_given_length", "Spearman of score and rating, given length"),
    ):
        rows.append((what, number(length[name]), interval(length[name])))
    return table(rows)


def _rows(document: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """Every metric of the document: where it stands, and its numbers."""
    for scope in (
        *("headline", "correlation", "pairwise", "models", "length"),
        *("mean_over_categories", "mean_over_models"),
    ):
        for name, metric in (document[scope] or {}).items():
            yield (scope, "", name, *_cells(metric))
    for scope in ("by_category", "by_model"):
        for key, group in document[scope].items():
            key = guarded(key)
            for name, value in group.items():
                if isinstance(value, dict):
                    yield (scope, key, name, *_cells(value))
    selective = document["selective"]
    yield ("selective", "", "excess_aurc", *_cells(selective["excess_aurc"]))
    for share, metric in selective["accuracy_at_coverage"].items():
        yield ("selective", share, "accuracy_at_coverage", *_cells(metric))
    for risk, metric in selective["coverage_at_risk"].items():
        yield ("selective", risk, "coverage_at_risk", *_cells(metric))
    for name, metric in (selective["graded"] or {}).items():
        yield ("selective", "graded", name, *_cells(metric))
    for fit, numbers in document["calibration"].items():
        for name in ("ece", "brier", "log_loss"):
            yield ("calibration", fit, name, *_cells(numbers[name]))


def _cells(metric: Mapping[str, Any]) -> tuple[object, ...]:
    bounds = (metric.get("low"), metric.get("high"))
    return (metric["value"], *bounds, metric["n"], metric["undefined"])
