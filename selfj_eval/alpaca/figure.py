"""The figure of rankings: agreement of each judge with GPT-4, and the models themselves."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import JudgeError
from selfj_eval.files.atomic import atomic_write

if TYPE_CHECKING:
    from selfj_eval.alpaca.ranking import Ranking

_TITLES = {
    "v1_win_rate": "AlpacaEval 1\nwin rate",
    "v1_length_controlled": "AlpacaEval 1\nlength-controlled",
    "v2_win_rate": "AlpacaEval 2\nwin rate",
    "v2_length_controlled": "AlpacaEval 2\nlength-controlled",
}
_COLOURS = ("#4269d0", "#e07b00", "#2a8f4f", "#a463b8", "#b0413e", "#5f6a72")


def check_can_draw() -> None:
    """Say before long work that the figure could not be drawn.

    Raises:
        JudgeError: If matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise JudgeError("the figure needs matplotlib: pip install 'selfj-eval[report]'")


def draw(rankings: Sequence[Ranking], path: Path) -> None:
    """Draw rankings, one per judge, to a file.

    Left: Spearman's rho of the ranking by win rate with each of GPT-4's, all models, with its
    interval. Right, for each judge: mean score of each model against GPT-4's AlpacaEval 2 win
    rate, the models of the first leaderboard filled.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "selfj", "font.size": 9}):
        width = 4.2 + 3.2 * len(rankings)
        figure = Figure(figsize=(width, 3.6), layout="constrained")
        axes = figure.subplots(1, 1 + len(rankings), width_ratios=[1.25] + [1] * len(rankings))
        _agreement(axes[0], rankings)
        for k, ranking in enumerate(rankings):
            _models(axes[k + 1], ranking, _COLOURS[k % len(_COLOURS)])
        with atomic_write(path) as stream:
            # No date, so that the same numbers make the same file.
            figure.savefig(stream, format=path.suffix[1:], metadata={"Date": None})


def _agreement(axes: Any, rankings: Sequence[Ranking]) -> None:
    for k, ranking in enumerate(rankings):
        rows = [
            row
            for row in ranking.agreement
            if row.models == "all" and row.by.startswith("win_rate")
        ]
        offset = 0.8 * ((k + 0.5) / len(rankings) - 0.5)
        places = [list(_TITLES).index(row.gpt4) + offset for row in rows]
        colour = _COLOURS[k % len(_COLOURS)]
        drawn = [
            (x, row.spearman, row.spearman_low, row.spearman_high)
            for x, row in zip(places, rows, strict=True)
            if row.spearman is not None
        ]
        label = ranking.name
        axes.plot([d[0] for d in drawn], [d[1] for d in drawn], "o", color=colour, label=label)
        for x, _, low, high in drawn:
            if low is not None:
                axes.plot([x, x], [low, high], color=colour, linewidth=1.5)
    axes.axhline(0, color="#888888", linewidth=0.8)
    axes.set_xticks(range(len(_TITLES)), list(_TITLES.values()), fontsize=6)
    axes.set_xlim(-0.6, len(_TITLES) - 0.4)
    axes.set_ylim(-1, 1)
    axes.set_ylabel("Spearman with GPT-4's ranking, all models")
    axes.set_title("ranking by win rate", fontsize=9)
    axes.legend(frameon=False, loc="lower right")


def _models(axes: Any, ranking: Ranking, colour: str) -> None:
    rows = [
        r for r in ranking.models if r.mean_score is not None and r.gpt4_v2_win_rate is not None
    ]
    for release, face in ((False, "none"), (True, colour)):
        some = [r for r in rows if r.in_release == release]
        axes.scatter(
            [r.gpt4_v2_win_rate for r in some],
            [r.mean_score for r in some],
            s=14,
            facecolors=face,
            edgecolors=colour,
            linewidths=0.8,
            label="of its first leaderboard" if release else "later models",
        )
    axes.set_xlabel("AlpacaEval 2 win rate by GPT-4 (%)")
    axes.set_ylabel("mean characters" if ranking.name == "length" else "mean score")
    axes.set_title(ranking.name, fontsize=9)
    axes.legend(frameon=False, fontsize=7)
