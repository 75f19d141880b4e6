"""How several raters agree, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from selfj_eval.errors import counted, shown
from selfj_eval.evaluation.cells import interval, number, reasons
from selfj_eval.evaluation.conclusions import conclusions_on_raters
from selfj_eval.evaluation.rater_result import RaterAgreement
from selfj_eval.jobs.results import table
from selfj_eval.metrics import Metric
from selfj_eval.metrics.alternative_annotator import PASSED_AT

MOST_ROWS = 10
"""Raters and pairs that are listed; the JSON has all."""
SCORINGS = {"accuracy": "equal ratings (score rounded)", "rmse": "close ratings (RMSE)"}


def named(found: RaterAgreement) -> list[tuple[str, Metric]]:
    """The measures of agreement, each with its name."""
    pairs = len(found.pairs)
    over = "of the two raters" if pairs == 1 else f"mean of {pairs} pairs of raters"
    dropped = f", {found.icc.dropped} dropped" if found.icc.dropped else ""
    complete = f"{counted(found.icc.single.n, 'answer')} that all rated{dropped}"
    return [
        (f"Cohen's kappa, {over}", found.kappa.unweighted),
        ("  linear weights", found.kappa.linear),
        ("  quadratic weights", found.kappa.quadratic),
        ("Krippendorff's alpha, interval scale", found.alpha.interval),
        ("  ordinal scale", found.alpha.ordinal),
        ("  nominal scale", found.alpha.nominal),
        (f"ICC(2,1) of one rater ({complete})", found.icc.single),
        ("ICC(2,k) of the raters' mean", found.icc.average),
        ("one rater and the mean of the others: Pearson", found.ceiling.pearson),
        ("  the judge and the same means", found.ceiling.judge_pearson),
        ("one rater and the mean of the others: Spearman", found.ceiling.spearman),
        ("  the judge and the same means", found.ceiling.judge_spearman),
    ]


def rater_lines(found: RaterAgreement) -> Iterator[str]:
    """The section of an evaluation for people."""
    measures = named(found)
    yield f"agreement of {len(found.raters)} raters on {counted(found.answers, 'answer')}"
    yield from conclusions_on_raters(found)
    yield table([(name, number(m), interval(m)) for name, m in measures])
    yield from reasons(m for _, m in measures)
    yield ""
    passed = f"passed at a winning rate of {PASSED_AT:g} or more"
    yield f"the judge in place of a rater (alternative annotator test; {passed})"
    epsilons = list(found.judge.rmse.winning_rates)
    rows = [("agreement scored by", "advantage", *(f"winning rate, epsilon {e}" for e in epsilons))]
    tests = {SCORINGS[name]: getattr(found.judge, name) for name in SCORINGS}
    for name, test in tests.items():
        rows.append((name, *(number(m) for m in (test.advantage, *test.winning_rates.values()))))
    yield table(rows)
    yield from reasons(test.advantage for test in tests.values())
    yield ""
    yield table(_raters(found))
    if len(found.raters) > MOST_ROWS:
        yield f"    ... and {len(found.raters) - MOST_ROWS:,} more raters"


def _raters(found: RaterAgreement) -> list[tuple[str, ...]]:
    titles = (
        *("rater", "n", "mean", "r with others", "judge's r"),
        *("advantage, equal", "close", "p, epsilon 0.2, close"),
    )
    rows: list[tuple[str, ...]] = [titles]
    for k, rater in enumerate(found.raters[:MOST_ROWS]):
        equal, close = found.judge.accuracy.raters[k], found.judge.rmse.raters[k]
        # Without the test of all raters, a single p-value decides nothing.
        undefined = found.judge.rmse.advantage.value is None
        p = None if undefined else close.p_values.get("0.2")
        rows.append(
            (
                shown(rater.rater)[:40],
                f"{rater.n:,}",
                f"{rater.mean_rating:.2f}",
                number(rater.ceiling.pearson),
                number(rater.ceiling.judge_pearson),
                number(equal.advantage),
                number(close.advantage),
                "-" if p is None else f"{p:.3g}",
            )
        )
    return rows
