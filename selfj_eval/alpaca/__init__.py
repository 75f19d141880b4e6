"""AlpacaEval with a local judge: data, annotator, win rates, table, ranking.

``evaluate``, ``rank``, ``table``, ``run`` and ``config`` do what the commands of ``selfj alpaca``
do. Below them all works on ``ModelAnswers``, one text per instruction in the official order. Only
``upstream`` imports the package ``alpaca_eval``, and ``client`` is imported by it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfj_eval.alpaca.annotator import config
    from selfj_eval.alpaca.filling import run
    from selfj_eval.alpaca.paper_table import table
    from selfj_eval.alpaca.ranking import rank
    from selfj_eval.alpaca.win_rates import evaluate

_HOMES = {
    "config": "annotator",
    "evaluate": "win_rates",
    "rank": "ranking",
    "run": "filling",
    "table": "paper_table",
}

__all__ = ["config", "evaluate", "rank", "run", "table"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
