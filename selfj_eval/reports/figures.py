"""The figures of a report: SVG to stand inside HTML, coloured by the page's style sheet."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from selfj_eval.reports.texts import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from selfj_eval.benchmarking.result import Row
    from selfj_eval.evaluation.result import Evaluation

P = ParamSpec("P")

MOST_GROUPS = 40
_WIDTH = 4.6  # inches: at a phone's width the letters are still about 9 px high
# Colours are marks here; the page replaces them by its own, one set for light and one for dark.
_INK, _GRID = "#010101", "#020202"
_SERIES = tuple(f"#0303{k:02x}" for k in range(1, 7))
_MARKERS, _DASHES = "osD^vP", ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_VARIABLES = {_INK: "ink", _GRID: "grid"} | {
    colour: f"series-{k}" for k, colour in enumerate(_SERIES, 1)
}


def _themed(draw: Callable[P, str]) -> Callable[P, str]:
    """Draw with this report's settings, whatever the user's own are."""

    @wraps(draw)
    def themed(*args: P.args, **kwargs: P.kwargs) -> str:
        from matplotlib import rc_context, rcdefaults

        with rc_context():
            rcdefaults()
            with rc_context(
                {
                    "svg.fonttype": "none",  # letters stay letters: small, searchable, read aloud
                    "font.family": "sans-serif",
                    "font.sans-serif": ["DejaVu Sans"],
                    "font.size": 9,
                    "text.parse_math": False,  # a "$" in a name is a "$"
                }
            ):
                return draw(*args, **kwargs)

    return themed


def _style(k: int) -> dict[str, Any]:
    """Colour and dashes of the k-th judge; neither alone has to tell judges apart."""
    return {"color": _SERIES[k % len(_SERIES)], "linestyle": _DASHES[k % len(_DASHES)]}


@_themed
def risk_coverage(documents: Sequence[Evaluation], names: Sequence[str]) -> str:
    """Selective risk over coverage, with a perfect and with a random order."""
    figure, axes = _figure(3.4)
    counts = [(d.counts.good, d.counts.used) for d in documents]
    of_whom = "" if len(set(counts)) == 1 else f", {label(names[0], 16)}"
    coverage = np.linspace(0, 1, 101)
    good = counts[0][0] / counts[0][1]
    perfect = np.maximum(0, coverage - good) / np.maximum(coverage, 1e-9)
    thin: dict[str, Any] = {"color": _INK, "linewidth": 0.8}
    axes.plot(coverage, perfect, **thin, linestyle=":", label=f"perfect order{of_whom}")
    axes.axhline(1 - good, **thin, linestyle=(0, (6, 3)), label=f"random order{of_whom}")
    for k, (document, name) in enumerate(zip(documents, names, strict=True)):
        curve = document.selective.curve
        axes.plot(curve.coverage, curve.risk, **_style(k), linewidth=1.6, label=label(name))
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="coverage: share of answers accepted")
    axes.set_ylabel("risk: share of bad answers among them")
    _legend(axes)
    return _svg(figure, "risk-coverage")


@_themed
def reliability(document: Evaluation, name: str) -> str:
    """Predicted and observed share of good answers, before and after calibration."""
    figure, axes = _figure(3.4)
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":", label="calibrated")
    titles = {"raw": "score / 9", "isotonic": "isotonic", "platt": "logistic"}
    for k, (fit, title) in enumerate(titles.items()):
        bins = getattr(document.calibration, fit).bins
        if bins is None:
            continue
        axes.plot(
            bins.predicted,
            bins.observed,
            **_style(k),
            marker=_MARKERS[k],
            markersize=4,
            linewidth=1.2,
            clip_on=False,
            label=title,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability of a good answer")
    axes.set_ylabel("share of good answers")
    _legend(axes)
    return _svg(figure, f"reliability-{name}")


@_themed
def scores_by_rating(document: Evaluation, name: str) -> str:
    """Median, quartiles and the middle 90 % of the scores at each rating."""
    figure, axes = _figure(3.0)
    rows = document.distribution
    x = np.arange(len(rows))
    quantiles = np.array([row.quantiles for row in rows])
    colour = _SERIES[0]
    axes.vlines(x, quantiles[:, 0], quantiles[:, 4], color=colour, linewidth=1)
    axes.vlines(x, quantiles[:, 1], quantiles[:, 3], color=colour, linewidth=6)
    axes.plot(x, quantiles[:, 2], "o", color=_INK, markersize=4)
    axes.set_xticks(x, [row.rating for row in rows], rotation=0 if len(rows) < 11 else 45)
    axes.set(xlabel="rating", ylabel="score")
    return _svg(figure, f"distribution-{name}")


@_themed
def forest(documents: Sequence[Evaluation], names: Sequence[str], group: str = "category") -> str:
    """Spearman's correlation with its interval in each group, for every judge."""
    rows = forest_groups(documents, group)
    step = 0.16 * len(documents) + 0.12
    figure, axes = _figure(0.8 + step * len(rows) + 0.12 * len(documents))
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
            fmt=_MARKERS[k % len(_MARKERS)],
            color=_SERIES[k % len(_SERIES)],
            markersize=4,
            linewidth=1.2,
            label=label(name),
        )
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [label(row, 22) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("Spearman's correlation")
    if len(documents) > 1 and axes.get_legend_handles_labels()[0]:
        _legend(axes, above=True)
    return _svg(figure, f"forest-{group}")


@_themed
def averages(rows: Sequence[Row], name: str) -> str:
    """Correlation of raters with ratings, with intervals: the mean over answering models.

    Args:
        rows: Of a set of the correlation table, each with a defined average or,
            where the set has no columns, with the pooled value.
        name: Of the set.
    """
    figure, axes = _figure(0.8 + 0.26 * len(rows))
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
            fmt=_MARKERS[k],
            color=_SERIES[k],
            markersize=4,
            linewidth=1.2,
            label="with reference" if reference else "without reference",
        )
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [label(row.rater, 26) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("correlation with the ratings")
    _legend(axes, above=True)
    return _svg(figure, f"averages-{name}")


def forest_groups(documents: Sequence[Evaluation], group: str) -> list[str]:
    """The groups a forest plot shows: the largest ones, by name."""
    sizes: dict[str, int] = {}
    for document in documents:
        for key, numbers in document.groups(group).items():
            sizes[key] = max(sizes.get(key, 0), numbers.n)
    return sorted(sorted(sizes, key=lambda key: (-sizes[key], key))[:MOST_GROUPS])


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_INK)
    axes.tick_params(colors=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _legend(axes: Axes, *, above: bool = False) -> None:
    place: dict[str, Any] = {"loc": "best"}
    if above:
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2}
    legend = axes.legend(frameon=False, labelcolor=_INK, **place)
    legend.set_in_layout(above)


def _svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element without size, fonts, links or style sheet of its own."""
    from matplotlib import rc_context

    target = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # The ids are the same in every run, and differ between figures.
    with rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # A name in a script that matplotlib's font lacks: the browser has a font for it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(target, format="svg", transparent=True, metadata=metadata)
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r"<style.*?</style>\s*", "", text, flags=re.S)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<svg ", '<svg aria-hidden="true" ', text, count=1)
    return re.sub(r"<[^>]*>", _tag, re.sub(r">\s+<", "><", text))


def _tag(match: re.Match[str]) -> str:
    """A tag in the page's colours and at half its size; names and numbers between tags stay."""
    tag = re.sub(r"\s+", " ", match[0])
    for colour, variable in _VARIABLES.items():
        tag = tag.replace(colour, f"var(--{variable})")
    # No ids that nothing refers to, fonts left to the page, tenths of a pixel.
    tag = re.sub(r' id="[\w.]*_\d+"', "", tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)
    tag = re.sub(r"font-family: [^;]*; ", "", tag)
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.1f}", tag)
