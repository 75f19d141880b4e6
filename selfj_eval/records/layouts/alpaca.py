"""AlpacaEval's ``model_outputs`` and Alpaca's own layout: our rows under other names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

_NAMES = {"response": "output", "model": "generator", "category": "dataset"}


def alpaca_eval_names(columns: Collection[str], names: Mapping[str, str]) -> dict[str, str]:
    """What the fields of a record are called in AlpacaEval's ``model_outputs``.

    Args:
        columns: The fields of the first row.
        names: As the user says; these go before.
    """
    known = {f: n for f, n in _NAMES.items() if f not in columns and n in columns}
    return known | dict(names)
