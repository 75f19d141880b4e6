"""The figures of a collection: for the page, and as files of their own."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from selfj_eval.reports.drawing import (
    DASHES,
    INK,
    SERIES,
    VARIABLES,
    add_legend,
    as_svg,
    new_figure,
    themed,
)
from selfj_eval.reports.texts import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from selfj_eval.collection.counts import Lengths, Statistics, VerbCount

NAMES = ("categories", "characters", "words", "verbs")
_DPI = 200
_TITLES = {"characters": "characters", "words": "words"}


class Drawn(NamedTuple):
    """A figure three times: ``page`` for the page, coloured by its style sheet; two files."""

    page: str
    svg: bytes
    png: bytes


def draw(document: Statistics) -> dict[str, Drawn]:
    """Draw what there is to show.

    Args:
        document: Of ``collection.statistics.describe``, with ``verbs`` or None.

    Returns:
        Figures by name, of ``NAMES``; nothing of an empty collection.
    """
    drawn: dict[str, Drawn] = {}
    if not document.kept:
        return drawn
    streams = {name: io.BytesIO() for name in NAMES}
    pages = {"categories": _categories(document, streams["categories"])}
    for name in _TITLES:
        pages[name] = _lengths(document.lengths[name], name, streams[name])
    if document.verbs and document.verbs.verbs:
        pages["verbs"] = _sunburst(document.verbs.verbs, streams["verbs"])
    for name, page in pages.items():
        drawn[name] = Drawn(page, _standalone(page), streams[name].getvalue())
    return drawn


@themed
def _categories(document: Statistics, png: io.BytesIO) -> str:
    """The pie of the categories; a colour belongs to a category in all figures."""
    figure, axes = _disc(4.6, 3.0)
    rows = [(k, row) for k, row in enumerate(document.categories) if row.kept]
    axes.pie(
        [row.kept for _, row in rows],
        colors=[SERIES[k] for k, _ in rows],
        labels=[f"{row.name}\n{row.share:.1%}, {row.kept:,}" for _, row in rows],
        startangle=90,
        counterclock=False,
        wedgeprops={"edgecolor": INK, "linewidth": 0.6, "alpha": 0.55},
        textprops={"color": INK},
    )
    return _saved(figure, "collection-categories", png)


@themed
def _lengths(lengths: Lengths, name: str, png: io.BytesIO) -> str:
    """Shares of the instructions of each category by length; all bins are equally wide here."""
    figure, axes = new_figure(2.8)
    edges = lengths.edges
    for k, (category, found) in enumerate(lengths.by_category.items()):
        if not found.n:
            continue
        shares = [count / found.n for count in found.counts]
        style: dict[str, Any] = {"color": SERIES[k], "linestyle": DASHES[k], "linewidth": 1.5}
        axes.stairs(shares, range(len(edges) + 1), baseline=None, label=category, **style)
    round_ = [k for k, edge in enumerate(edges) if str(edge).rstrip("0") in ("", "1", "2", "5")]
    axes.set_xticks(round_, [f"{edges[k]:,}" for k in round_], rotation=45)
    axes.set(xlim=(0, len(edges)), ylim=(0, None), xlabel=_TITLES[name])
    axes.set_ylabel("share of instructions")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    add_legend(axes)
    return _saved(figure, f"collection-{name}", png)


@themed
def _sunburst(verbs: Sequence[VerbCount], png: io.BytesIO) -> str:
    """Verbs inside, their nouns outside; an angle is a number of instructions that are shown."""
    figure, axes = _disc(6.6, 6.6)
    total = sum(noun.count for verb in verbs for noun in verb.nouns)
    start = 0
    for k, verb in enumerate(verbs):
        colour, begin = SERIES[k % len(SERIES)], start
        for noun in verb.nouns:
            end = start + noun.count
            _wedge(axes, (start / total, end / total), (0.55, 1.0), colour, 0.25, noun.noun)
            start = end
        _wedge(axes, (begin / total, start / total), (0.18, 0.55), colour, 0.5, verb.verb)
    axes.set(xlim=(-1.01, 1.01), ylim=(-1.01, 1.01))
    return _saved(figure, "collection-verbs", png)


def _wedge(
    axes: Axes,
    part: tuple[float, float],
    radii: tuple[float, float],
    colour: str,
    alpha: float,
    text: str,
) -> None:
    """A piece of a ring, from one share of the circle to another, clockwise from the top.

    Its text is left out where it is narrower than a letter is high.
    """
    from matplotlib.patches import Wedge

    low, high = (90 - 360 * share for share in reversed(part))
    inner, outer = radii
    piece = Wedge((0, 0), outer, low, high, width=outer - inner, facecolor=colour, alpha=alpha)
    axes.add_patch(piece)
    edge = {"facecolor": "none", "edgecolor": INK, "linewidth": 0.4}
    axes.add_patch(Wedge((0, 0), outer, low, high, width=outer - inner, **edge))
    middle, radius = math.radians((low + high) / 2), (inner + outer) / 2
    if (high - low) * math.pi / 180 * radius < 0.03:
        return
    angle = (low + high) / 2 % 360
    axes.text(
        radius * math.cos(middle),
        radius * math.sin(middle),
        label(text, 14),
        color=INK,
        fontsize=6.5,
        ha="center",
        va="center",
        rotation=angle - 180 if 90 < angle < 270 else angle,
        rotation_mode="anchor",
    )


def _disc(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_aspect("equal")
    axes.set_axis_off()
    return figure, axes


def _saved(figure: Figure, name: str, png: io.BytesIO) -> str:
    """The figure for the page; as a picture it goes into ``png``, in the page's light colours."""
    from matplotlib.colors import to_hex, to_rgba

    page = as_svg(figure, name)
    for artist in figure.findobj():
        for kind in ("color", "facecolor", "edgecolor", "markeredgecolor", "markerfacecolor"):
            read = getattr(artist, f"get_{kind}", None)
            write = getattr(artist, f"set_{kind}", None)
            if read is None or write is None:
                continue
            rgba = to_rgba(read())
            variable = VARIABLES.get(to_hex(rgba))
            if variable is not None and rgba[3]:
                write((*to_rgba(_light()[variable])[:3], rgba[3]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(png, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    return page


def _standalone(page: str) -> bytes:
    """An SVG file: the page's light colours, white behind, a font named."""
    text = re.sub(r"var\(--([\w-]+)\)", lambda match: _light()[match[1]], page)
    text = text.replace(' aria-hidden="true"', "", 1)
    text = re.sub(
        r"(<svg[^>]*)>",
        r'\1 font-family="DejaVu Sans, Verdana, sans-serif">'
        r'<rect width="100%" height="100%" fill="#fff"/>',
        text,
        count=1,
    )
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + text.encode("utf-8", "replace") + b"\n"


@cache
def _light() -> dict[str, str]:
    """The page's colours on white paper, as its style sheet has them first."""
    sheet = files("selfj_eval.reports").joinpath("style.css").read_text("utf-8")
    found: dict[str, str] = {}
    for name, colour in re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", sheet):
        found.setdefault(name, colour)
    return found
