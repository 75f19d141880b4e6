"""From scores to the table's numbers: correlation with ratings, by answering model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from selfj_eval import metrics
from selfj_eval.benchmarking.bench_sets import BenchSet
from selfj_eval.benchmarking.published import published_row
from selfj_eval.benchmarking.rate_sets import Rated, Result, key
from selfj_eval.benchmarking.result import Cell, Intervals, RaterRow, Table
from selfj_eval.metrics import Metric
from selfj_eval.metrics.bootstrap import RESAMPLES, bootstrap, evaluations
from selfj_eval.metrics.result import Array
from selfj_eval.records.ratings import rescaled
from selfj_eval.records.record import Record

METRICS: Mapping[str, Callable[..., Metric]] = {
    "pearson": metrics.pearson,
    "spearman": metrics.spearman,
}
"""What may stand in the cells."""


def tabulate(
    sets: Sequence[BenchSet],
    result: Result,
    files: Mapping[str, str],
    *,
    not_run: Mapping[str, Sequence[str]] = MappingProxyType({}),
    metric: str = "pearson",
    intervals: Intervals | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Table]:
    """The tables, one per set.

    A cell is the correlation of a rater's scores with the ratings of one model's answers; the
    average is the plain mean of the cells, as in the paper's table; "pooled" is the correlation
    over all answers, which mixes in the differences between models. Intervals are from a
    bootstrap over instructions, the same draws for all cells of a row.

    Args:
        sets: The rated sets.
        result: What the raters made of them.
        files: Scores files (``rate_sets.write_scores``).
        not_run: Raters that need references, by the sets that have none (``rate_sets.not_run``).
        metric: One of ``METRICS``.
        intervals: How they are bootstrapped.
        progress: Told how many bootstrap evaluations are done.
    """
    tables, intervals = [], intervals or Intervals()
    for data in sets:
        rows = [
            _row(
                data,
                rated,
                files[key(data.name, rated.rater, rated.reference)],
                metric,
                intervals,
                progress,
            )
            for rated in result[data.name]
        ]
        tables.append(
            Table(
                name=data.name,
                path=data.path,
                records=len(data.records),
                unrated=data.unrated,
                instructions=len({r.question for r in data.records}),
                columns=list(data.columns),
                too_few=data.left_out,
                not_run=list(not_run.get(data.name, ())),
                warnings=_warnings(data.records),
                rows=rows,
            )
        )
    return tables


def work(sets: Sequence[BenchSet], result: Result, resamples: int = RESAMPLES) -> int:
    """How many steps ``tabulate`` reports to its ``progress``."""
    total = 0
    for data in sets:
        for rated in result[data.name]:
            chosen = _usable(data.records, rated)
            total += evaluations(len(chosen), _groups(data.records, chosen), resamples)
    return total


def _row(
    data: BenchSet,
    rated: Rated,
    scores: str,
    metric: str,
    intervals: Intervals,
    progress: Callable[[int], None],
) -> RaterRow:
    chosen = _usable(data.records, rated)
    records = [data.records[k] for k in chosen]
    score = np.array([rated.judgments[k].score for k in chosen], dtype=float)
    rating = _ratings(records)
    model = [r.model for r in records]
    where = [np.flatnonzero([m == name for m in model]) for name in data.columns]
    code = np.full(len(records), -1)
    for number, places in enumerate(where):
        code[places] = number
    function = METRICS[metric]
    cells = [function(score[at], rating[at]) for at in where]
    pooled = function(score, rating)
    average = _average(data.columns, cells)

    def statistic(drawn: npt.NDArray[np.int64]) -> Array:
        a, b, own = score[drawn], rating[drawn], code[drawn]
        if metric == "pearson":
            values = _pearson_by(a, b, own, len(where))
        else:
            values = np.array(
                [_value(function, a[own == k], b[own == k]) for k in range(len(where))]
            )
        mean = values.mean() if len(values) else math.nan
        return np.array([*values, mean, _value(function, a, b)])

    bounds = bootstrap(
        statistic,
        len(records),
        group=_groups(data.records, chosen),
        progress=progress,
        confidence=intervals.confidence,
        resamples=intervals.resamples,
        seed=intervals.seed,
    ).intervals
    *own, of_average, of_pooled = bounds
    errors = [j.error for j in rated.judgments if j.score is None]
    failed = Counter(
        record.model
        for record, judgment in zip(data.records, rated.judgments, strict=True)
        if judgment.score is None
    )
    return RaterRow(
        rater=rated.rater,
        reference=rated.reference,
        cells={
            name: Cell(cell._replace(interval=interval), failed[name])
            for name, cell, interval in zip(data.columns, cells, own, strict=True)
        },
        average=average._replace(interval=of_average),
        pooled=pooled._replace(interval=of_pooled),
        scored=len(rated.judgments) - len(errors),
        unscored=len(errors),
        first_error=errors[0] if errors else None,
        trimmed=sum(j.trimmed_tokens > 0 for j in rated.judgments if j.score is not None),
        description=dict(rated.description),
        # Published are Pearson's r alone.
        published=published_row(rated.rater, rated.reference, data.columns)
        if metric == "pearson"
        else None,
        scores=scores,
    )


def _average(columns: Sequence[str], cells: Sequence[Metric]) -> Metric:
    """The mean of all columns: of some of them it would be a mean over other models than named."""
    values = [cell.value for cell in cells if cell.value is not None]
    if not cells:
        return Metric(None, 0, "no model has a column")
    if len(values) < len(cells):
        missing = [n for n, c in zip(columns, cells, strict=True) if c.value is None]
        return Metric(None, len(values), f"there is no correlation for {', '.join(missing)}")
    return Metric(float(np.mean(values)), len(values))


def _warnings(records: Sequence[Record]) -> list[str]:
    """What a reader has to know of the ratings."""
    scales = {(r.rating_min, r.rating_max) for r in records}
    if len(scales) > 1 and any(None in scale for scale in scales):
        return [
            f"The ratings have {len(scales)} scales, and some of these are not known "
            "(rating_min, rating_max): the ratings are used unchanged. Give them one scale."
        ]
    return []


def _usable(records: Sequence[Record], rated: Rated) -> list[int]:
    """Positions of the scored answers, in an order that the file's does not decide."""
    scored = [k for k, judgment in enumerate(rated.judgments) if judgment.score is not None]
    return sorted(scored, key=lambda k: records[k].id)


def _groups(records: Sequence[Record], chosen: Sequence[int]) -> npt.NDArray[np.int64]:
    texts = [records[k].question for k in chosen]
    number = {text: k for k, text in enumerate(sorted(set(texts)))}
    return np.array([number[text] for text in texts], dtype=np.int64)


def _ratings(records: Sequence[Record]) -> Array:
    """As given, or on 0..9 where they have several scales that are all known."""
    scales = {(r.rating_min, r.rating_max) for r in records}
    if len(scales) > 1 and all(None not in scale for scale in scales):
        values = [rescaled(r.rating or 0.0, r.rating_min, r.rating_max) for r in records]
    else:
        values = [r.rating or 0.0 for r in records]
    return np.array(values, dtype=float)


def _value(function: Callable[..., Metric], a: Array, b: Array) -> float:
    value = function(a, b).value
    return math.nan if value is None else value


def _pearson_by(a: Array, b: Array, code: npt.NDArray[np.int64], groups: int) -> Array:
    """Pearson's r in each group, from sums; shape (groups,), NaN where one side is constant."""
    inside = code >= 0
    x, y, own = a[inside], b[inside], code[inside]
    n = np.bincount(own, minlength=groups).astype(float)

    def centred(values: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            means: Array = np.bincount(own, weights=values, minlength=groups) / n
        found: Array = values - means[own]
        return found

    # By their size, so that neither overflows and rounding is told from spread.
    x, y = (values / (np.abs(values).max(initial=0) or 1.0) for values in (x, y))
    x, y = centred(x), centred(y)
    xx, yy, xy = (np.bincount(own, weights=w, minlength=groups) for w in (x * x, y * y, x * y))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = xy / np.sqrt(xx * yy)
    spread = (xx > 1e-24 * np.maximum(n, 1)) & (yy > 1e-24 * np.maximum(n, 1))
    found: Array = np.where(spread, np.clip(r, -1.0, 1.0), np.nan)
    return found
