"""What all figures share: SVG inside HTML, coloured by the page's style sheet."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

WIDTH = 4.6  # inches: at a phone's width the letters are still about 9 px high
# Colours are marks here; the page replaces them by its own, one set for light and one for dark.
INK, GRID = "#010101", "#020202"
SERIES = tuple(f"#0303{k:02x}" for k in range(1, 7))
MARKERS, DASHES = "osD^vP", ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
VARIABLES = {INK: "ink", GRID: "grid"} | {
    colour: f"series-{k}" for k, colour in enumerate(SERIES, 1)
}


def themed(draw: Callable[P, str]) -> Callable[P, str]:
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


def new_figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)
    axes.tick_params(colors=INK)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def add_legend(axes: Axes, *, above: bool = False) -> None:
    place: dict[str, Any] = {"loc": "best"}
    if above:
        many = len(axes.get_legend_handles_labels()[0]) > 3
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2}
        place |= {"ncols": 2 if many else 1, "columnspacing": 1.0}
    legend = axes.legend(frameon=False, labelcolor=INK, **place)
    legend.set_in_layout(above)


def as_svg(figure: Figure, name: str) -> str:
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
    for colour, variable in VARIABLES.items():
        tag = tag.replace(colour, f"var(--{variable})")
    # No ids that nothing refers to, fonts left to the page, tenths of a pixel.
    tag = re.sub(r' id="[\w.]*_\d+"', "", tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)
    tag = re.sub(r"font-family: [^;]*; ", "", tag)
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.1f}", tag)
