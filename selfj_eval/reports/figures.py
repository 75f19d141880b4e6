"""The figures of a report: SVG to stand inside HTML, coloured by the page's style sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from selfj_eval.reports.drawing import (
    DASHES,
    INK,
    MARKERS,
    SERIES,
    add_legend,
    as_svg,
    new_figure,
    themed,
)
from selfj_eval.reports.texts import label

if TYPE_CHECKING:
    from selfj_eval.evaluation.result import Evaluation
    from selfj_eval.metrics import Metric


MOST_GROUPS = 40


class RaterAgreement(Protocol):
    """A row of a correlation table, as far as it is drawn."""

    @property
    def rater(self) -> str: ...

    @property
    def reference(self) -> bool: ...

    @property
    def cells(self) -> Mapping[str, object]: ...

    @property
    def average(self) -> Metric: ...

    @property
    def pooled(self) -> Metric: ...


def _style(k: int) -> dict[str, Any]:
    """Colour and dashes of the k-th judge; neither alone has to tell judges apart."""
    return {"color": SERIES[k % len(SERIES)], "linestyle": DASHES[k % len(DASHES)]}


@themed
def risk_coverage(
    documents: Sequence[Evaluation], names: Sequence[str], max_risk: float | None = None
) -> str:
    """Selective risk over coverage with its band, a perfect and a random order, and the wanted."""
    figure, axes = new_figure(3.8)
    counts = [(d.counts.good, d.counts.used) for d in documents]
    of_whom = "" if len(set(counts)) == 1 else f", {label(names[0], 16)}"
    coverage = np.linspace(0, 1, 101)
    good = counts[0][0] / counts[0][1]
    perfect = np.maximum(0, coverage - good) / np.maximum(coverage, 1e-9)
    thin: dict[str, Any] = {"color": INK, "linewidth": 0.8}
    axes.plot(coverage, perfect, **thin, linestyle=":", label=f"perfect order{of_whom}")
    axes.axhline(1 - good, **thin, linestyle=(0, (6, 3)), label=f"random order{of_whom}")
    for k, (document, name) in enumerate(zip(documents, names, strict=True)):
        curve, band = document.selective.curve, document.selective.band
        low, high = (np.array(end, dtype=float) for end in (band.low, band.high))
        colour = SERIES[k % len(SERIES)]
        axes.fill_between(band.coverage, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(curve.coverage, curve.risk, **_style(k), linewidth=1.6, label=label(name))
    if max_risk is not None and max_risk <= axes.get_ylim()[1]:  # else it would flatten the curves
        wanted = f"wanted: {100 * max_risk:.3g} %"
        axes.axhline(max_risk, color=INK, linewidth=1.2, linestyle="-.", label=wanted)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="coverage: share of answers accepted")
    axes.set_ylabel("risk: share of bad answers among them")
    add_legend(axes, above=True)
    return as_svg(figure, "risk-coverage")


@themed
def reliability(document: Evaluation, name: str) -> str:
    """Predicted and observed share of good answers, before and after calibration."""
    figure, axes = new_figure(3.4)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":", label="calibrated")
    titles = {"raw": "score / 9", "isotonic": "isotonic", "platt": "logistic"}
    for k, (fit, title) in enumerate(titles.items()):
        bins = getattr(document.calibration, fit).bins
        if bins is None:
            continue
        axes.plot(
            bins.predicted,
            bins.observed,
            **_style(k),
            marker=MARKERS[k],
            markersize=4,
            linewidth=1.2,
            clip_on=False,
            label=title,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability of a good answer")
    axes.set_ylabel("share of good answers")
    add_legend(axes)
    return as_svg(figure, f"reliability-{name}")


@themed
def scores_by_rating(document: Evaluation, name: str) -> str:
    """Median, quartiles and the middle 90 % of the scores at each rating, with how many it has."""
    figure, axes = new_figure(3.0)
    rows = document.distribution
    x = np.arange(len(rows))
    quantiles = np.array([row.quantiles for row in rows])
    colour = SERIES[0]
    axes.vlines(x, quantiles[:, 0], quantiles[:, 4], color=colour, linewidth=1)
    axes.vlines(x, quantiles[:, 1], quantiles[:, 3], color=colour, linewidth=6)
    axes.plot(x, quantiles[:, 2], "o-", color=INK, markersize=4, linewidth=0.8)
    upright = max(len(row.rating) for row in rows) < 5
    between = "\n" if upright else ": "
    ticks = [f"{row.rating}{between}{row.n:,}" for row in rows]
    axes.set_xticks(x, ticks, rotation=0 if upright else 60)
    axes.set(xlabel="rating, and how many answers have it", ylabel="score")
    return as_svg(figure, f"distribution-{name}")


@themed
def forest(documents: Sequence[Evaluation], names: Sequence[str], group: str = "category") -> str:
    """Spearman's correlation with its interval in each group, for every judge."""
    rows = forest_groups(documents, group)
    step = 0.16 * len(documents) + 0.12
    figure, axes = new_figure(0.8 + step * len(rows) + 0.12 * len(documents))
    for k, (document, name) in enumerate(zip(documents, names, strict=True)):
        offset = (k - (len(documents) - 1) / 2) * 0.7 / len(documents)
        found = [(y, document.groups(group).get(row)) for y, row in enumerate(rows)]
        points = [(y, g.headline.spearman) for y, g in found if g]
        points = [(y, m) for y, m in points if m.value is not None]
        if not points:
            continue
        y = np.array([y for y, _ in points]) + offset
        value = np.array([m.value for _, m in points])
        low = np.array([m.value if m.low is None else m.low for _, m in points])
        high = np.array([m.value if m.high is None else m.high for _, m in points])
        axes.errorbar(
            value,
            y,
            xerr=np.maximum(0, [value - low, high - value]),
            fmt=MARKERS[k % len(MARKERS)],
            color=SERIES[k % len(SERIES)],
            markersize=4,
            linewidth=1.2,
            label=label(name),
        )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [label(row, 22) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("Spearman's correlation")
    if len(documents) > 1 and axes.get_legend_handles_labels()[0]:
        add_legend(axes, above=True)
    return as_svg(figure, f"forest-{group}")


@themed
def averages(rows: Sequence[RaterAgreement], name: str) -> str:
    """Correlation of raters with ratings, with intervals: the mean over answering models.

    Args:
        rows: Of a set of the correlation table, each with a defined average or,
            where the set has no columns, with the pooled value.
        name: Of the set.
    """
    figure, axes = new_figure(0.8 + 0.26 * len(rows))
    for k, reference in enumerate((True, False)):
        chosen = [(y, row) for y, row in enumerate(rows) if row.reference is reference]
        if not chosen:
            continue
        found = [row.average if row.cells else row.pooled for _, row in chosen]
        value = np.array([m.value or 0.0 for m in found])
        low = np.array([m.value if m.low is None else m.low for m in found])
        high = np.array([m.value if m.high is None else m.high for m in found])
        axes.errorbar(
            value,
            [y for y, _ in chosen],
            xerr=np.maximum(0, [value - low, high - value]),
            fmt=MARKERS[k],
            color=SERIES[k],
            markersize=4,
            linewidth=1.2,
            label="with reference" if reference else "without reference",
        )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [label(row.rater, 26) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("correlation with the ratings")
    add_legend(axes, above=True)
    return as_svg(figure, f"averages-{name}")


def forest_groups(documents: Sequence[Evaluation], group: str) -> list[str]:
    """The groups a forest plot shows: the largest ones, by name."""
    sizes: dict[str, int] = {}
    for document in documents:
        for key, numbers in document.groups(group).items():
            sizes[key] = max(sizes.get(key, 0), numbers.n)
    return sorted(sorted(sizes, key=lambda key: (-sizes[key], key))[:MOST_GROUPS])
