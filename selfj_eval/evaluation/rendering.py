"""Evaluations and comparisons as text for a terminal, and as rows of a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from selfj_eval.errors import counted, shown
from selfj_eval.evaluation.cells import interval, number, reasons
from selfj_eval.evaluation.rater_rendering import rater_lines
from selfj_eval.evaluation.rater_result import RaterAgreement
from selfj_eval.evaluation.result import Binary, Comparison, Evaluation
from selfj_eval.files.atomic import atomic_write
from selfj_eval.files.formulas import guarded
from selfj_eval.jobs.results import table
from selfj_eval.metrics import LABELS, LOWER_IS_BETTER, Metric

COLUMNS = ("scope", "name", "metric", "value", "low", "high", "n", "undefined")
ORDER = {
    "spearman": "Spearman",
    "kendall_tau_b": "Kendall tau-b",
    "rbo": "rank-biased overlap",
    "soft_pairwise_accuracy": "soft pairwise accuracy",
}
"""What the measures of ``Evaluation.models`` are called."""
Row = tuple[object, ...]


def title(name: str) -> str:
    """What a headline metric is called, and which way is better where that is not up."""
    return LABELS[name] + (" (lower is better)" if name in LOWER_IS_BETTER else "")


def text(found: Evaluation) -> str:
    """An evaluation for people."""
    counts, settings = found.counts, found.settings
    headline = found.headline._asdict()
    parts = [
        f"{shown(found.judge)}: {counted(counts.records, 'answer')}, {counts.scored:,} scored, "
        f"{counts.unscored:,} unscored, {counts.used:,} with score and rating, "
        f"{counts.good:,} of these good (rated at least {settings.good_at:g} on "
        f"{settings.good_at_scale})"
    ]
    parts += [f"  note: {shown(warning)}" for warning in found.warnings]
    if not counts.used:
        return "\n".join([*parts, "nothing to evaluate: no answer has a score and a rating"])
    parts += ["", found.conclusion]
    rows = [("", "value", f"{100 * settings.confidence:g} % interval")]
    rows += [(title(name), number(m), interval(m)) for name, m in headline.items()]
    parts += ["", table(rows), *reasons(headline.values())]
    if any(m.interval is not None for m in headline.values()):
        parts.append(f"  intervals: bootstrap over {settings.resampled}; the ECE has none")
    for name in ("category", "model"):
        if found.groups(name):
            parts += ["", _groups(name, found)]
    if found.models is not None:
        order = [(ORDER[name], m) for name, m in found.models._asdict().items()]
        parts += ["", "order of the models by mean score and by mean rating"]
        parts.append(table([(name, number(m), interval(m)) for name, m in order]))
        parts += reasons(m for _, m in order)
    parts += ["", *_verdicts(found.binary)]
    if found.raters is not None:
        parts += ["", *rater_lines(found.raters)]
    return "\n".join([*parts, "", _details(found)])


def _groups(name: str, found: Evaluation) -> str:
    rows: list[tuple[str, ...]] = [
        (name, "n", "Spearman", "interval", "tau-b", "AUROC", "AUGRC", "score", "rating 0..9")
    ]
    for key, group in found.groups(name).items():
        h = group.headline
        numbers = (number(m) for m in (h.kendall_tau_b, h.auroc, h.augrc))
        means = (_mean(group.mean_score), _mean(group.mean_rating))
        spearman = (number(h.spearman), interval(h.spearman))
        rows.append((shown(key)[:40], str(group.n), *spearman, *numbers, *means))
    mean = found.mean_over_categories if name == "category" else found.mean_over_models
    over = f"mean of {mean.spearman.n}"
    rho, tau = number(mean.spearman), number(mean.kendall_tau_b)
    rows.append((over, "", rho, interval(mean.spearman), tau, "", "", "", ""))
    return table(rows)


def _mean(found: Metric) -> str:
    """A mean with half the width of its interval, which is symmetric."""
    if found.value is None or found.interval is None:
        return number(found, 2)
    return f"{found.value:.2f} ±{found.interval.high - found.value:.2f}"


def verdict_names(found: Binary) -> list[tuple[str, Metric]]:
    """The measures of the judge's verdicts, each with its name."""
    named = [
        ("good answers that are judged good (TPR)", found.tpr),
        ("bad answers that are judged bad (TNR)", found.tnr),
        ("good answers among those judged good (precision)", found.precision),
    ]
    if found.unrated:
        named += [
            (f"of {found.unrated:,} answers without a rating: judged good", found.judged_good),
            ("  good, corrected for the judge's errors (Rogan-Gladen)", found.corrected),
        ]
    return named


def _verdicts(found: Binary) -> Iterator[str]:
    """The judge as one that says good or bad."""
    if found.score_cut is None:
        yield f"answers are not judged good or bad: {shown(found.tpr.undefined)}"
        return
    how = ", which separates good from bad answers best" if found.chosen else ""
    yield f"judged good or bad: good from score {found.score_cut:.3f} on{how}"
    named = verdict_names(found)
    yield table([(name, number(m), interval(m)) for name, m in named])
    yield from reasons(m for _, m in named)


def _details(found: Evaluation) -> str:
    pairs, selective, length = found.pairwise, found.selective, found.length
    same, ties = pairs.same_instruction, pairs.same_instruction_ties
    near = pairs.same_instruction_calibrated
    rows = [
        ("pairs of answers to the same instruction: accuracy", number(same), interval(same)),
        ("  the same, ties counted (acc23)", number(ties), interval(ties)),
    ]
    if pairs.epsilon is not None and pairs.epsilon[1] > 0:
        ends = list(dict.fromkeys(f"{end:.3g}" for end in pairs.epsilon))
        name = f"  counting scores within {' to '.join(ends)} as ties"
        rows.append((name, number(near), interval(near)))
    for share, metric in selective.accuracy_at_coverage.items():
        rows.append((f"share of good answers in the best {float(share):.0%}", number(metric), ""))
    for risk, metric in selective.coverage_at_risk.items():
        rows.append((f"largest coverage with at most {float(risk):.0%} bad", number(metric), ""))
    for name in ("raw", "isotonic", "platt"):
        fit = getattr(found.calibration, name)
        what = "score / 9" if name == "raw" else f"{name}, cross-fitted"
        rows.append((f"ECE of {what}", number(fit.ece), ""))
        rows.append((f"Brier score of {what}", number(fit.brier), ""))
    for metric, what in (
        (length.score_length, "Spearman of score and answer length"),
        (length.rating_length, "Spearman of rating and answer length"),
        (length.score_rating_given_length, "Spearman of score and rating, given length"),
    ):
        rows.append((what, number(metric), interval(metric)))
    return table(rows)


def comparison_text(found: Comparison) -> str:
    """A comparison for people."""
    names = [shown(name) for name in found.judges]
    parts = [f"A {names[0]}\nB {names[1]}", f"{counted(found.counts.compared, 'record')} compared"]
    parts += [f"  note: {shown(warning)}" for warning in found.warnings]
    parts += ["", found.conclusion]
    level = f"{100 * found.settings.confidence:g} % interval"
    rows = [("", "A", "B", "A - B", level, "A higher in")]
    for name, d in found.metrics.items():
        higher = "" if d.first_higher is None else f"{d.first_higher:.1%}"
        gap = (number(d.difference), interval(d.difference))
        rows.append((title(name), number(d.first), number(d.second), *gap, higher))
    parts += [f"\n{table(rows)}", *reasons(d.difference for d in found.metrics.values())]
    return "\n".join([*parts, f"  bootstrap over {found.settings.resampled}"])


def metric_rows(found: Evaluation) -> Iterator[Row]:
    """Every metric: where it stands, and its numbers, in the order of ``COLUMNS``."""
    for scope in (
        *("headline", "correlation", "pairwise", "models", "length", "binary"),
        *("mean_over_categories", "mean_over_models"),
    ):
        yield from _of(scope, "", getattr(found, scope))
    for scope in ("by_category", "by_model"):
        for key, group in getattr(found, scope).items():
            yield from _of(scope, guarded(key), group)
            yield from _of(scope, guarded(key), group.headline)
    if found.raters is not None:
        yield from _of_raters(found.raters)
    selective = found.selective
    yield ("selective", "", "excess_aurc", *_cells(selective.excess_aurc))
    for share, metric in selective.accuracy_at_coverage.items():
        yield ("selective", share, "accuracy_at_coverage", *_cells(metric))
    for risk, metric in selective.coverage_at_risk.items():
        yield ("selective", risk, "coverage_at_risk", *_cells(metric))
    yield from _of("selective", "graded", selective.graded)
    for fit in ("raw", "isotonic", "platt"):
        yield from _of("calibration", fit, getattr(found.calibration, fit))


def _of_raters(found: RaterAgreement) -> Iterator[Row]:
    """How several raters agree, and the judge with them."""
    for field in ("kappa", "alpha", "icc", "ceiling"):
        yield from _of("raters", field, getattr(found, field))
    for scoring in ("accuracy", "rmse"):
        test = getattr(found.judge, scoring)
        yield ("raters", scoring, "advantage", *_cells(test.advantage))
        for epsilon, rate in test.winning_rates.items():
            yield ("raters", scoring, f"winning_rate_{epsilon}", *_cells(rate))


def _of(scope: str, name: str, holder: object) -> Iterator[Row]:
    """The metrics that are fields of something."""
    names: Sequence[str] = getattr(holder, "_fields", ()) or getattr(holder, "__slots__", ())
    for field in names:
        metric = getattr(holder, field)
        if isinstance(metric, Metric):
            yield (scope, name, field, *_cells(metric))


def _cells(metric: Metric) -> Row:
    return (metric.value, metric.low, metric.high, metric.n, metric.undefined)


def write_csv(path: Path, found: Evaluation) -> None:
    """Write every metric as a CSV table."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(metric_rows(found))
    with atomic_write(path) as stream:
        stream.write(content.getvalue().encode())
